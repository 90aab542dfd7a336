"""The pods of the Kubernetes Jobs, run for real by podman from the shipped manifests. Skipped without podman and an image."""

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.test_image import DOCKER, cpu_image
from tests.k8s.cluster import Controller, Manifest, Outcome, Podman, make_pod, of_kind, render, shrunk

__all__ = ["cpu_image"]
pytestmark = [
    pytest.mark.skipif(not DOCKER, reason="no Docker Engine is running here to build the image"),
    pytest.mark.skipif(not shutil.which("podman"), reason="no podman here to run pods"),
]
# The embedded corpus instead of IMDB, as there is no network; small networks, as there are many trainings.
SMALL: dict[str, str | int] = {
    "JOB_PRESET": "quickstart", "JOB_EPOCHS": 1, "JOB_UNITS": 8, "JOB_BATCH_SIZE": 512, "JOB_LOG_FORMAT": "text"
}  # fmt: skip


@pytest.fixture(scope="module")
def podman(cpu_image: str) -> Iterator[Podman]:
    folder = Path(tempfile.mkdtemp())
    engine = Podman(folder)
    try:
        engine.load(DOCKER, cpu_image)
        yield engine
    finally:
        engine.close()
        shutil.rmtree(folder)


class Cluster:
    """Runs one overlay's Jobs on two volumes."""

    def __init__(self, podman: Podman, volumes: dict[str, Path], overlay: str, **configuration: str | int) -> None:
        self.podman, self.volumes = podman, volumes
        self.manifests = render(overlay, SMALL | configuration, image="localhost/sentiment-job:test")
        self.ended: dict[str, tuple[int, str]] = {}

    def job(self, name: str) -> Manifest:
        return of_kind(self.manifests, "Job")[name]

    def start(self, name: str, index: int | None = None) -> tuple[str, str]:
        pod = name if index is None else f"{name}-{index}"
        return pod, self.podman.play(self.manifests, make_pod(self.manifests, self.job(name), self.volumes, pod, index))

    def finish(self, pod: str, container: str) -> Outcome:
        self.ended[pod] = self.podman.wait(container)
        self.podman.remove(pod)
        return Outcome(self.ended[pod][0])

    def run(self, name: str, index: int | None = None) -> Outcome:
        return self.finish(*self.start(name, index))


@pytest.fixture
def volumes(tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / name for name in ("output", "cache")}
    for folder in made.values():
        folder.mkdir()
    return made


def test_the_security_context_holds(podman: Podman, volumes: dict[str, Path]) -> None:
    cluster = Cluster(podman, volumes, "cpu")
    pod = make_pod(cluster.manifests, cluster.job("sentiment-job-cpu"), volumes, "context")
    script = (
        "import os\n"
        "for line in open('/proc/self/status'):\n"
        "    if line.startswith(('CapEff', 'NoNewPrivs', 'Seccomp:', 'Uid')): print(*line.split())\n"
        "for place in ('/output', '/tmp', '/cache', '/', '/app'):\n"
        "    try: open(os.path.join(place, 'written'), 'w'); print(place, 'yes')\n"
        "    except OSError as error: print(place, error.strerror)\n"
    )
    (container,) = pod["spec"]["containers"]
    container |= {"command": ["python"], "args": ["-c", script]}
    name = podman.play(cluster.manifests, pod)
    assert podman.wait(name)[0] == 0
    said = podman("logs", name).stdout.splitlines()
    podman.remove("context")
    assert said == [
        "Uid: 10001 10001 10001 10001",
        "CapEff: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "/output yes",
        "/tmp yes",
        "/cache Read-only file system",
        "/ Read-only file system",
        "/app Read-only file system",
    ]


def test_a_preempted_pod_is_replaced_and_the_job_completes(podman: Podman, volumes: dict[str, Path]) -> None:
    cluster = Cluster(podman, volumes, "cpu", JOB_EPOCHS=8, JOB_ARCHITECTURE="lstm", JOB_SEEDS=1)
    name = "sentiment-job-cpu"

    def run(_: int, attempt: int) -> Outcome:
        pod, container = cluster.start(name)
        if attempt:
            return cluster.finish(pod, container)
        deadline = time.monotonic() + 120
        while "epoch 2/8" not in podman("logs", container).stderr:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        podman("kill", "--signal", "TERM", container)
        outcome = cluster.finish(pod, container)
        assert outcome.exit_code == 143
        return Outcome(outcome.exit_code, disrupted=True)

    ended = Controller(cluster.job(name), run).finish()
    assert (ended.condition, ended.pods) == ("Complete", 2), cluster.ended
    assert "continued at epoch" in cluster.ended[name][1]
    assert json.loads((volumes["output"] / "metrics.json").read_text())["device"]["cores"] == 2
    assert not (volumes["cache"] / "unfinished").is_dir() or not list((volumes["cache"] / "unfinished").iterdir())


@pytest.mark.parametrize(("configuration", "code"), [({"JOB_UNITS": "-1"}, 78), ({"JOB_DATA": "/cache/none.csv"}, 66)])
def test_what_cannot_be_mended_fails_the_job_at_once(
    configuration: dict[str, str], code: int, podman: Podman, volumes: dict[str, Path]
) -> None:
    cluster = Cluster(podman, volumes, "cpu", **configuration)
    name = "sentiment-job-cpu"
    # Data that are missing end the init container already, of which podman keeps no exit code; so it is run by itself.
    pod = make_pod(cluster.manifests, cluster.job(name), volumes, name)
    if code == 66:
        pod["spec"]["containers"] = pod["spec"].pop("initContainers")

    def run(*_: int) -> Outcome:
        return cluster.finish(name, podman.play(cluster.manifests, pod))

    ended = Controller(cluster.job(name), run).finish()
    assert (cluster.ended[name][0], ended.condition, ended.pods) == (code, "Failed", 1), cluster.ended
    assert len(cluster.ended[name][1].splitlines()) == 1


def test_the_sweep_and_its_merging_are_the_unsharded_run(podman: Podman, volumes: dict[str, Path], tmp_path: Path) -> None:
    sweep = Cluster(podman, volumes, "sweep", JOB_SEEDS=2)
    sweep.manifests = shrunk(sweep.manifests, 10, 4)
    merging = sweep.start("sentiment-job-merge-sweep")

    # Two at a time, as there are two cores, and backwards, as order must not matter.
    indexes = list(range(sweep.job("sentiment-job-sweep")["spec"]["completions"]))
    outcomes: dict[int, Outcome] = {}

    def work() -> None:
        while indexes:
            index = indexes.pop()
            outcomes[index] = sweep.run("sentiment-job-sweep", index)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = Controller(sweep.job("sentiment-job-sweep"), lambda index, _: outcomes[index]).finish()
    assert (ended.condition, ended.completed) == ("Complete", list(range(4))), sweep.ended
    assert sweep.finish(*merging).exit_code == 0, sweep.ended
    assert "missing or unfinished" in sweep.ended[merging[0]][1]
    assert len(list((volumes["cache"] / "encoded").iterdir())) == 1

    whole = {"output": tmp_path / "whole", "cache": volumes["cache"]}
    whole["output"].mkdir()
    unsharded = Cluster(podman, whole, "cpu", JOB_SEEDS=2)
    assert unsharded.run("sentiment-job-cpu").exit_code == 0, unsharded.ended
    assert (whole["output"] / "predictions.csv").read_bytes() == (volumes["output"] / "predictions.csv").read_bytes()
    first, second = (json.loads((folder / "metrics.json").read_text()) for folder in (whole["output"], volumes["output"]))
    for metrics in (first, second):
        del metrics["baseline"]["seconds"]
        for entry in metrics["architectures"].values():
            assert len(entry["runs"]) == 2
            for run in entry["runs"]:
                del run["seconds"], run["tokens_per_second"]
    assert first == second
