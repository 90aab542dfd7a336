"""What a cluster does with the manifests, as far as it can be had without one.

`render` is kubectl's kustomize. `Controller` is a model of the Job controller, for what decides whether a pod is tried
again: podFailurePolicy (first match wins), backoffLimit, backoffLimitPerIndex, maxFailedIndexes, completions. It does
not model time, quotas, scheduling, deadlines, successPolicy and parallelism. `Podman` runs a Job's pod template for
real; network policies and requests are not enforced there.
"""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

KUBECTL = Path(sys.executable).with_name("kubectl")
OVERLAYS = ("cpu", "gpu", "multi-worker", "sweep")
Manifest = dict[str, Any]


def shrunk(manifests: Any, before: int, now: int) -> Any:
    """Manifests with fewer pods: an indexed Job's completions, and the number of all that its arguments end with."""
    if isinstance(manifests, dict):
        counts = dict.fromkeys(("completions", "parallelism"), now) if manifests.get("completions") == before else {}
        return {name: shrunk(value, before, now) for name, value in manifests.items()} | counts
    if isinstance(manifests, list):
        return [shrunk(each, before, now) for each in manifests]
    return re.sub(rf"/{before}$", f"/{now}", manifests) if isinstance(manifests, str) else manifests


def render(
    overlay: str,
    configuration: Mapping[str, str | int] | None = None,
    image: str | None = None,
    component: tuple[str, str] | None = None,
) -> list[Manifest]:
    """An overlay's manifests; `configuration` and `image` are set as a user sets them, by an overlay of their own.

    Args:
        component: The one to replace, and by what, in the overlay's own file.
    """
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(ROOT / "k8s", Path(temporary, "k8s"))
        folder = Path(temporary, "k8s", "overlays", "own")
        folder.mkdir()
        if component:
            file = folder.parent / overlay / "kustomization.yaml"
            file.write_text(
                file.read_text().replace(f"- ../../components/{component[0]}", f"- ../../components/{component[1]}")
            )
        own: Manifest = {"resources": [f"../{overlay}"]}
        if configuration:
            literals = [f"{name}={value}" for name, value in configuration.items()]
            # The generator names what it changes as the rendered overlay does, without the hash.
            own["configMapGenerator"] = [{"name": f"sentiment-job-config-{overlay}", "behavior": "merge", "literals": literals}]
        if image:
            name, separator, rest = image.partition("@") if "@" in image else image.rpartition(":")
            own["images"] = [{"name": "sentiment-job", "newName": name, "digest" if separator == "@" else "newTag": rest}]
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(own))
        done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def containers(job: Manifest) -> list[Manifest]:
    spec = job["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


@dataclass
class Outcome:
    """How a pod ended."""

    exit_code: int
    disrupted: bool = False
    """Whether the cluster put the condition DisruptionTarget on it."""


@dataclass
class Controller:
    """Runs a Job's pods by `run(index, attempt)`, one after the other, and decides as the Job controller does."""

    job: Manifest
    run: Callable[[int, int], Outcome]
    condition: str = ""
    reason: str = ""
    message: str = ""
    """Of a rule that failed the Job; as the Job controller words it, pod and container apart."""
    completed: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    pods: int = 0

    def act(self, outcome: Outcome) -> tuple[str, str]:
        """The action of the first rule that matches, and what is said of it; without one a failure counts."""
        for index, rule in enumerate(self.job["spec"]["podFailurePolicy"]["rules"]):
            action, codes = str(rule["action"]), rule.get("onExitCodes")
            said = f"matching {action} rule at index {index}"
            if outcome.disrupted and any(each["type"] == "DisruptionTarget" for each in rule.get("onPodConditions", [])):
                return action, f"Pod … has condition DisruptionTarget {said}"
            if codes and (outcome.exit_code in codes["values"]) == (codes["operator"] == "In"):
                return action, f"Container … for pod … failed with exit code {outcome.exit_code} {said}"
        return "Count", ""

    def finish(self) -> "Controller":
        spec = self.job["spec"]
        per_index = spec.get("backoffLimitPerIndex")
        limit = per_index if per_index is not None else spec.get("backoffLimit", 6)
        for index in range(spec.get("completions", 1)):
            if not self._finish_index(index, limit, per_index is not None):
                return self
            if len(self.failed) > spec.get("maxFailedIndexes", spec.get("completions", 1)):
                return self._end("Failed", "MaxFailedIndexesExceeded")
        return self._end("Failed", "FailedIndexes") if self.failed else self._end("Complete", "")

    def _finish_index(self, index: int, limit: int, per_index: bool) -> bool:
        counted = attempt = 0
        while True:
            outcome = self.run(index, attempt)
            self.pods, attempt = self.pods + 1, attempt + 1
            if outcome.exit_code == 0:
                self.completed.append(index)
                return True
            action, message = self.act(outcome)
            if action == "FailJob":
                self._end("Failed", "PodFailurePolicy", message)
                return False
            counted += action == "Count"
            if action == "FailIndex" or (counted > limit and per_index):
                self.failed.append(index)
                return True
            if counted > limit:
                self._end("Failed", "BackoffLimitExceeded")
                return False

    def _end(self, condition: str, reason: str, message: str = "") -> "Controller":
        self.condition, self.reason, self.message = condition, reason, message
        return self


def make_pod(
    manifests: list[Manifest], job: Manifest, volumes: Mapping[str, Path], name: str, index: int | None = None
) -> Manifest:
    """The pod that the Job controller and the kubelet make of a template, on host folders in the place of claims."""
    template = copy.deepcopy(job["spec"]["template"])
    spec = template["spec"]
    for volume in spec["volumes"]:
        claim = volume.pop("persistentVolumeClaim", None)
        if claim:
            assert claim["claimName"] in of_kind(manifests, "PersistentVolumeClaim")
            folder = volumes[volume["name"]]
            # What fsGroup does.
            os.chown(folder, 0, spec["securityContext"]["fsGroup"])
            folder.chmod(0o2770)
            volume["hostPath"] = {"path": str(folder), "type": "Directory"}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        container["imagePullPolicy"] = "Never"
        # They inform, and podman takes them for mappings, of which the machine's network has none.
        container.pop("ports", None)
        if index is not None:
            container.setdefault("env", []).append({"name": "JOB_COMPLETION_INDEX", "value": str(index)})
            container["args"] = [each.replace("$(JOB_COMPLETION_INDEX)", str(index)) for each in container["args"]]
    # There is no network for pods here but the machine's.
    spec["hostNetwork"] = True
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": spec,
    }


class Podman:
    """An engine that runs pods, with a storage of its own."""

    # systemd's limits are higher than a container in a container may set.
    SETTINGS = (
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "containers.conf").write_text(self.SETTINGS)
        self._environment = os.environ | {"CONTAINERS_CONF": str(folder / "containers.conf")}
        # The path of runroot's sockets must be short.
        self._runroot = Path(tempfile.mkdtemp(prefix="pods-"))

    def __call__(self, *arguments: str | Path, **more: Any) -> "subprocess.CompletedProcess[str]":
        command = ["podman", "--root", self._folder / "storage", "--runroot", self._runroot, *arguments]
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, env=self._environment, timeout=300, **more
        )

    def load(self, docker: str, image: str) -> None:
        with subprocess.Popen([docker, "save", image], stdout=subprocess.PIPE) as save:
            done = self("load", stdin=save.stdout)
        assert done.returncode == 0, done.stderr

    def play(self, manifests: list[Manifest], pod: Manifest) -> str:
        """Starts a pod when its init containers have ended; the name of its container."""
        file = self._folder / f"{pod['metadata']['name']}.yaml"
        file.write_text(yaml.safe_dump_all([*of_kind(manifests, "ConfigMap").values(), pod]))
        done = self("kube", "play", file)
        assert done.returncode == 0, done.stderr
        return f"{pod['metadata']['name']}-{pod['spec']['containers'][0]['name']}"

    def wait(self, container: str) -> tuple[int, str]:
        """Exit code and standard error of a container."""
        code = int(self("wait", container).stdout)
        return code, self("logs", container).stderr

    def inspect(self, container: str) -> Manifest:
        (facts,) = json.loads(self("inspect", container).stdout)
        assert isinstance(facts, dict)
        return facts

    def remove(self, pod: str) -> None:
        self("pod", "rm", "--force", pod)

    def close(self) -> None:
        self("pod", "rm", "--force", "--all")
        self("rmi", "--all", "--force")
        shutil.rmtree(self._folder / "storage", ignore_errors=True)
        shutil.rmtree(self._runroot, ignore_errors=True)


def readme_actions() -> dict[int, str]:
    """What the table of exit codes in job/README.md promises Kubernetes will do."""
    text = (ROOT / "job" / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| (fail|count|ignore|–)[^|]* \|$", text, re.MULTILINE)
    return {int(code): action for code, action in rows}
