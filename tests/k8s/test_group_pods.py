"""A group's pods, run for real by podman from the shipped manifests. Skipped without podman and an image."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from job.peers import free_hosts
from tests.docker.test_image import DOCKER, cpu_image
from tests.k8s.cluster import Outcome, Podman, make_pod, render, shrunk
from tests.k8s.groups import JobSetController, make_job
from tests.k8s.test_pods import SMALL, podman, volumes

__all__ = ["cpu_image", "podman", "volumes"]
pytestmark = [
    pytest.mark.long,
    # Six pods, and an engine's storage to fill.
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not DOCKER, reason="no Docker Engine is running here to build the image"),
    pytest.mark.skipif(not shutil.which("podman"), reason="no podman here to run pods"),
]
# Of the four pods that the manifests have; each has a core so.
SIZE = 2
TRAINING: dict[str, str | int] = SMALL | {"JOB_ARCHITECTURE": "lstm", "JOB_SEEDS": 1, "JOB_EPOCHS": 4}


class Group:
    """Runs an overlay's pods on two volumes, all at once; their names are of the machine, as is their network."""

    def __init__(self, podman: Podman, volumes: dict[str, Path], overlay: str) -> None:
        self.podman, self.volumes = podman, volumes
        hosts = ",".join(free_hosts(SIZE))
        manifests = render(overlay, TRAINING | {"JOB_HOSTS": hosts}, image="localhost/sentiment-job:test")
        self.manifests = shrunk(manifests, 4, SIZE)
        self.said: dict[str, str] = {}

    def start(self) -> dict[int, tuple[str, str]]:
        """Pod and container of each index."""
        job = make_job(self.manifests)

        def play(index: int) -> tuple[str, str]:
            pod = f"{job['metadata']['name']}-{index}"
            return pod, self.podman.play(self.manifests, make_pod(self.manifests, job, self.volumes, pod, index))

        indexes = range(job["spec"]["completions"])
        with ThreadPoolExecutor() as threads:
            return dict(zip(indexes, threads.map(play, indexes), strict=True))

    def kill(self, container: str, chief: str) -> None:
        """When the group has made progress, and is in the middle of more."""
        deadline = time.monotonic() + 240
        while "epoch 1/4" not in self.podman("logs", chief).stderr:
            assert time.monotonic() < deadline, self.podman("logs", chief).stderr
            time.sleep(0.1)
        assert not self.podman("kill", "--signal", "KILL", container).returncode

    def finish(self, started: dict[int, tuple[str, str]]) -> list[Outcome]:
        outcomes = []
        for pod, container in started.values():
            code, self.said[pod] = self.podman.wait(container)
            outcomes.append(Outcome(code))
        for pod, _ in started.values():
            self.podman.remove(pod)
        return outcomes


def test_a_group_whose_pod_is_killed_is_started_again_and_ends_as_if_it_had_not_been(
    podman: Podman, volumes: dict[str, Path], tmp_path: Path
) -> None:
    group = Group(podman, volumes, "jobset")
    ends: list[list[int]] = []

    def run(start: int) -> list[Outcome]:
        started = group.start()
        if start == 0:
            group.kill(started[1][1], chief=started[0][1])
        outcomes = group.finish(started)
        ends.append([each.exit_code for each in outcomes])
        return outcomes

    ended = JobSetController(group.manifests, run).finish()
    assert ends == [[75, 137], [0, 0]], group.said
    assert (ended.condition, ended.counted) == ("Completed", 1)
    assert "continued at epoch" in group.said["sentiment-job-jobset-node-0-0"]

    # The plain Job's pods, never interrupted, on a volume of their own.
    whole = {"output": tmp_path / "whole", "cache": volumes["cache"]}
    whole["output"].mkdir()
    never = Group(podman, whole, "multi-worker")
    assert [each.exit_code for each in never.finish(never.start())] == [0, 0], never.said
    assert (whole["output"] / "predictions.csv").read_bytes() == (volumes["output"] / "predictions.csv").read_bytes()
