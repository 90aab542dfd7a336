"""The components, each with every overlay: what it changes in whose pods, and that an API server would take it."""

import functools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ROOT
from tests.k8s.cluster import KUBECTL, OVERLAYS, Manifest, containers, of_kind, render

HERE = ROOT / "k8s" / "components"
ALL = sorted(path.name for path in HERE.iterdir() if path.is_dir())
# Those of which overlays are made.
PARTS = ("cpu", "gpu", "multi-gpu", "group", "jobset", "jobset-names")
COMPONENTS = [name for name in ALL if name not in PARTS]
# What else there is comes from other projects, with schemas of their own.
BUILT_IN = ("v1", "batch/v1", "networking.k8s.io/v1")
POD = "spec/template/spec"
GPU = f"{POD}/containers/train/resources"
BESIDE = {
    "topologyKey": "kubernetes.io/hostname",
    "labelSelector": {
        "matchLabels": {"app.kubernetes.io/component": "train", "app.kubernetes.io/name": "sentiment-job"},
    },
    "matchLabelKeys": ["batch.kubernetes.io/job-name"],
}
REMOVED = None
USER = f"{POD}/securityContext"
# What each component changes in a training Job and in one that merges; REMOVED where the overlay has it.
EVERY: dict[str, dict[str, Any]] = {
    "argocd": {
        "metadata/annotations/argocd.argoproj.io/sync-options": "Force=true,Replace=true",
        "spec/ttlSecondsAfterFinished": REMOVED,
    },
    "flux": {"metadata/annotations/kustomize.toolkit.fluxcd.io/force": "enabled", "spec/ttlSecondsAfterFinished": REMOVED},
    "openshift": {f"{USER}/{name}": REMOVED for name in ("runAsUser", "runAsGroup", "fsGroup")},
    "own-uid": {f"{USER}/{name}": 1000 for name in ("runAsUser", "runAsGroup", "fsGroup")},
    "priority": {f"{POD}/priorityClassName": "batch"},
    "pull-secret": {f"{POD}/imagePullSecrets/registry/name": "registry"},
}
TRAINING: dict[str, dict[str, Any]] = {
    "do-not-disrupt": {
        "spec/template/metadata/annotations/karpenter.sh/do-not-disrupt": "true",
        "spec/template/metadata/annotations/cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    },
    "mig": {f"{GPU}/{kind}/nvidia.com/mig-1g.10gb": "1" for kind in ("limits", "requests")}
    | {f"{GPU}/{kind}/nvidia.com/gpu": REMOVED for kind in ("limits", "requests")},
    "one-node": {f"{POD}/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution": [BESIDE]},
    "runtime-class": {f"{POD}/runtimeClassName": "nvidia"},
    "spread": {f"{POD}/topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"} | BESIDE]},
}
MERGING: dict[str, dict[str, Any]] = {"one-node": {"spec/suspend": True}}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of what a manifest holds; what has a name is called by it."""
    if isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        value = {each["name"]: each for each in value}
    if not isinstance(value, dict):
        yield path[1:], value
        return
    for name, each in value.items():
        yield from leaves(each, f"{path}/{name}")


def difference(before: Manifest, after: Manifest) -> dict[str, Any]:
    old, new = dict(leaves(before)), dict(leaves(after))
    return {path: new.get(path) for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


def build(folder: Path) -> list[Manifest]:
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def render_own(text: str) -> list[Manifest]:
    """An overlay of one's own, in a folder beside k8s/."""
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(ROOT / "k8s", Path(temporary, "k8s"))
        folder = Path(temporary, "my-run")
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(text)
        return build(folder)


@functools.cache
def plain(overlay: str) -> list[Manifest]:
    return render(overlay)


@functools.cache
def combined(overlay: str, *components: str) -> list[Manifest]:
    return render_own(own(overlay, components))


def own(overlay: str, components: Sequence[str], more: Mapping[str, Any] | None = None) -> str:
    named = [f"../k8s/components/{name}" for name in components]
    return yaml.safe_dump({"resources": [f"../k8s/overlays/{overlay}"], "components": named} | dict(more or {}))


def validate(manifests: list[Manifest]) -> None:
    for version in ("1.31", kubernetes_validate.latest_version()):
        for manifest in manifests:
            if manifest["apiVersion"] in BUILT_IN:
                kubernetes_validate.validate(manifest, version, strict=True)


def is_training(job: Manifest) -> bool:
    return bool(job["metadata"]["labels"]["app.kubernetes.io/component"] == "train")


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_changes_what_it_is_for_and_nothing_else(component: str, overlay: str) -> None:
    after = combined(overlay, component)
    validate([each for each in after if each not in plain(overlay)])
    jobs = of_kind(after, "Job")
    before = of_kind(plain(overlay), "Job")
    assert jobs.keys() == before.keys()
    for name, job in jobs.items():
        changes = difference(before[name], job)
        if component == "own-data":
            place = (f"{POD}/initContainers/own-data/", f"{POD}/volumes/own-data/")
            assert all(path.startswith(place) for path in changes)
            assert bool(changes) == is_training(job)
            continue
        expected = EVERY.get(component) or (TRAINING if is_training(job) else MERGING).get(component, {})
        there = dict(leaves(before[name]))
        assert changes == {path: value for path, value in expected.items() if value is not REMOVED or path in there}


def test_every_component_is_described() -> None:
    assert set(COMPONENTS) == {*EVERY, *TRAINING, "own-data"}
    text = (HERE / "README.md").read_text()
    assert not {name for name in ALL if f"\n| `{name}` |" not in text}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_that_fit_together_may_be_combined(overlay: str) -> None:
    # Pods on one node are not spread, and a cluster has one GitOps controller and one way to choose users.
    components = [name for name in COMPONENTS if name not in ("one-node", "flux", "own-uid")]
    for order in (components, components[::-1]):
        manifests = combined(overlay, *order)
        validate(manifests)
        for job in of_kind(manifests, "Job").values():
            there = dict(leaves(job))
            for component in components:
                expected = EVERY.get(component) or (TRAINING if is_training(job) else MERGING).get(component, {})
                # What MIG replaces is there on GPUs alone.
                if component != "mig" or f"{GPU}/limits/nvidia.com/mig-1g.10gb" in there:
                    assert {path: there.get(path) for path in expected} == expected, component


@pytest.mark.parametrize(("component", "annotation"), [("argocd", "Prune=false,Delete=false"), ("flux", "disabled")])
def test_what_a_controller_removes_is_not_the_results(component: str, annotation: str) -> None:
    for claim in of_kind(combined("gpu", component), "PersistentVolumeClaim").values():
        assert list(claim["metadata"]["annotations"].values()) == [annotation]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_on_one_node_a_volume_of_one_node_does(overlay: str) -> None:
    for claim in of_kind(combined(overlay, "one-node"), "PersistentVolumeClaim").values():
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


@pytest.mark.parametrize("component", ["one-node", "spread"])
def test_pods_are_placed_by_labels_that_they_have(component: str) -> None:
    (job,) = filter(is_training, of_kind(combined("sweep", component), "Job").values())
    assert BESIDE["labelSelector"]["matchLabels"].items() <= job["spec"]["template"]["metadata"]["labels"].items()  # type: ignore[index]


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "multi-worker", "sweep"])
def test_own_data_are_there_before_anything_reads_them(overlay: str) -> None:
    """In the image that the overlay sets, with its configuration, and within the same bounds."""
    config = {"name": f"sentiment-job-config-{overlay}", "behavior": "merge"}
    literals = ["OWN_DATA_FROM=https://example.com/reviews.csv", f"OWN_DATA_SHA256={'0' * 64}", "JOB_DATA=/cache/reviews.csv"]
    more = {"configMapGenerator": [config | {"literals": literals}], "images": [{"name": "sentiment-job", "newTag": "mine"}]}
    after = render_own(own(overlay, ["own-data"], more))
    validate(after)
    maps = of_kind(after, "ConfigMap")
    (job,) = filter(is_training, of_kind(after, "Job").values())
    first, second, *_ = containers(job)
    assert (first["name"], second["name"]) == ("own-data", "data")
    assert first["image"] == second["image"] == "sentiment-job:mine"
    for same in ("envFrom", "securityContext", "terminationMessagePolicy"):
        assert first[same] == second[same]
    assert first["resources"]["requests"].keys() == second["resources"]["requests"].keys()
    assert {"name": "cache", "mountPath": "/cache"} in first["volumeMounts"]
    settings = maps[first["envFrom"][0]["configMapRef"]["name"]]["data"]
    assert {f"{name}={settings[name]}" for name in ("OWN_DATA_FROM", "OWN_DATA_SHA256", "JOB_DATA")} == set(literals)
    (volume,) = [each for each in job["spec"]["template"]["spec"]["volumes"] if each["name"] == "own-data"]
    (script,) = maps[volume["configMap"]["name"]]["data"]
    assert first["command"] == ["python", f"/own-data/{script}"]


def blocks(path: Path) -> list[str]:
    """The YAML that a text gives, without the indentation of its place in a list."""
    found: list[str] = []
    lines: list[str] | None = None
    for line in path.read_text().splitlines():
        if lines is not None and line.strip() == "```":
            indentation = min(len(each) - len(each.lstrip()) for each in lines if each)
            found.append("\n".join(each[indentation:] for each in lines))
            lines = None
        elif lines is not None:
            lines.append(line)
        elif line.strip() == "```yaml":
            lines = []
    return found


GIVEN = {
    f"{path.parent.name}-{number}": text
    for path in (ROOT / "k8s" / "README.md", HERE / "README.md")
    for number, text in enumerate(blocks(path))
}


@pytest.mark.parametrize("text", GIVEN.values(), ids=GIVEN)
def test_what_a_readme_gives_to_save_is_an_overlay(text: str) -> None:
    """Whole ones as they are; a part within the smallest whole that it fits."""
    given = yaml.safe_load(text)
    if "resources" not in given:
        # A patch that names a component's field needs the component.
        components = ["../k8s/components/mig"] if "nvidia.com~1mig" in text else []
        given = {"resources": ["../k8s/overlays/gpu"], "components": components} | given
    whole = yaml.safe_dump(given)
    after = render_own(whole)
    validate(after)
    assert json.dumps(after) != json.dumps(plain("gpu"))


def test_the_readme_s_first_overlay_sets_namespace_and_image() -> None:
    after = render_own(next(text for text in GIVEN.values() if "resources" in yaml.safe_load(text)))
    assert {each["metadata"]["namespace"] for each in after} == {"sentiment"}
    images = {container["image"] for job in of_kind(after, "Job").values() for container in containers(job)}
    assert images == {"REGISTRY/sentiment-job@sha256:DIGEST"}


def test_what_a_component_sets_is_changed_as_its_readme_says() -> None:
    first, mig, *_ = blocks(HERE / "README.md")
    jobs = of_kind(render_own(first), "Job")
    assert {job["spec"]["template"]["spec"]["priorityClassName"] for job in jobs.values()} == {"low"}
    assert [job["spec"]["template"]["spec"]["imagePullSecrets"] for job in jobs.values()] == [[{"name": "my-registry"}]] * 2
    (job,) = of_kind(render_own(own("gpu", ["mig"], yaml.safe_load(mig))), "Job").values()
    for asked in containers(job)[-1]["resources"].values():
        assert {name: value for name, value in asked.items() if "nvidia" in name} == {"nvidia.com/mig-3g.40gb": "1"}


class TestQuickstart:
    """The commands of k8s/QUICKSTART.md, as far as they need no cluster."""

    TEXT = (ROOT / "k8s" / "QUICKSTART.md").read_text()

    def run(self, start: str, folder: Path) -> str:
        """Runs the command that begins like this, what it is piped into left out."""
        after = self.TEXT[self.TEXT.index(start) :]
        command = after[: after.index("\nEOF\n") + 5] if "<<" in after.splitlines()[0] else after.splitlines()[0]
        done = subprocess.run(["sh", "-ec", command.split(" | kubectl")[0]], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_its_overlay_renders_and_its_reader_finds_the_claim(self, tmp_path: Path) -> None:
        shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
        (tmp_path / "my-run").mkdir()
        self.run("cat > my-run/kustomization.yaml", tmp_path)
        after = build(tmp_path / "my-run")
        validate(after)
        ((name, job),) = of_kind(after, "Job").items()
        assert f"job/{name}" in self.TEXT
        (config,) = of_kind(after, "ConfigMap").values()
        assert config["data"]["JOB_PRESET"] == "quickstart"
        reader = yaml.safe_load(self.run("sed s/gpu/cpu/ k8s/reader.yaml", tmp_path))
        assert reader["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] in of_kind(after, "PersistentVolumeClaim")
        # The node has it already, so it is not pulled: its tag is not `latest`.
        assert {each["image"] for each in [*containers(job), *reader["spec"]["containers"]]} == {"sentiment-job:cpu"}
        assert self.TEXT.count("sentiment-job:cpu") >= 2
