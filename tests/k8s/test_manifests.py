"""The Kubernetes manifests: schemas, and the rules that schemas miss."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml
from typer.testing import CliRunner

import job
from job import cli, errors
from job.files import lock
from job.machine import signals
from job.presets import Architecture
from tests.conftest import ROOT
from tests.k8s.cluster import OVERLAYS, Controller, Manifest, Outcome, containers, of_kind, readme_actions, render
from tests.k8s.groups import make_job

RENDERED = {overlay: render(overlay) for overlay in OVERLAYS}
JOBS = {name: each for manifests in RENDERED.values() for name, each in of_kind(manifests, "Job").items()}
TRAINING = {name: each for name, each in JOBS.items() if "merge" not in name}
SWEEP = JOBS["sentiment-job-sweep"]
# And the Jobs that JobSets make.
MADE = {name: make_job(render(name)) for name in ("jobset", "trainjob")}
each_job_made = pytest.mark.parametrize("job_", [*JOBS.values(), *MADE.values()], ids=[*JOBS, *MADE])
each_job = pytest.mark.parametrize("job_", JOBS.values(), ids=JOBS)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
def test_every_manifest_follows_its_schema(overlay: str, version: str) -> None:
    kinds = [each["kind"] for each in RENDERED[overlay]]
    services = {"Service"} if overlay == "multi-worker" else set()
    assert {"ConfigMap", "Job", "NetworkPolicy", "PersistentVolumeClaim"} | services == set(kinds)
    for manifest in RENDERED[overlay]:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_files_are_clean() -> None:
    yamllint = Path(sys.executable).with_name("yamllint")
    done = subprocess.run([yamllint, "--strict", "k8s"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def codes(job_: Manifest, *actions: str) -> list[int]:
    rules = job_["spec"]["podFailurePolicy"]["rules"]
    return [code for rule in rules if rule["action"] in actions for code in rule.get("onExitCodes", {}).get("values", [])]


@each_job
def test_the_failure_policy_is_the_contract_s(job_: Manifest) -> None:
    promised = readme_actions()
    raised = {each.exit_code for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.JobError)}
    assert raised <= set(promised)
    assert len(promised) == 15
    assert codes(job_, "FailJob", "FailIndex") == [code for code, action in promised.items() if action == "fail"]
    assert codes(job_, "Count") == [code for code, action in promised.items() if action == "count"]


@each_job_made
def test_what_the_api_server_would_refuse(job_: Manifest) -> None:
    spec = job_["spec"]
    rules = spec["podFailurePolicy"]["rules"]
    for rule in rules:
        # Exactly one of the two conditions a rule, and codes ascending, without copies, and no 0.
        assert ("onExitCodes" in rule) != ("onPodConditions" in rule)
        values = rule.get("onExitCodes", {}).get("values", [1])
        assert values == sorted(set(values))
        assert 0 not in values
        assert len(values) <= 255
    assert len(rules) <= 20
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["podReplacementPolicy"] == "Failed"
    indexed = spec.get("completionMode") == "Indexed"
    per_index = {"backoffLimitPerIndex", "maxFailedIndexes"} & set(spec)
    assert not per_index or indexed
    assert "maxFailedIndexes" not in spec or (
        "backoffLimitPerIndex" in spec and spec["maxFailedIndexes"] <= spec["completions"]
    )
    assert ("FailIndex" in {rule["action"] for rule in rules}) <= ("backoffLimitPerIndex" in spec)
    # Names become labels and, for an index, a host name.
    longest = f"{job_['metadata']['name']}-{spec.get('completions', 1) - 1}-xxxxx" if indexed else job_["metadata"]["name"]
    assert len(longest) <= 63


@each_job
def test_a_disruption_is_looked_for_first(job_: Manifest) -> None:
    first = job_["spec"]["podFailurePolicy"]["rules"][0]
    assert first == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@each_job
def test_times_fit_what_the_job_does(job_: Manifest) -> None:
    spec = job_["spec"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 2 * signals.GRACE_SECONDS
    limit = spec.get("backoffLimitPerIndex", spec.get("backoffLimit"))
    delays = [min(10 * 2**number, 360) for number in range(limit)]
    # A lock that a dead pod left behind is taken over within the tries: its delays and the job's own patience.
    assert sum(delays) > lock.PATIENCE_SECONDS
    assert spec["activeDeadlineSeconds"] > 10 * sum(delays)
    assert spec["ttlSecondsAfterFinished"] >= 3 * 86400
    merge = JOBS["sentiment-job-merge-sweep"]["spec"]
    (wait,) = re.findall(r"--wait=(\d+)", " ".join(merge["template"]["spec"]["containers"][0]["args"]))
    # A week in a queue, in which the wait does not count, and an hour to join.
    assert SWEEP["spec"]["activeDeadlineSeconds"] == int(wait) == merge["activeDeadlineSeconds"] - 7 * 86400 - 3600


@each_job_made
def test_the_restricted_pod_security_standard_holds(job_: Manifest) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and a read-only root besides."""
    spec = job_["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    pod = spec["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] == 10001
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for container in containers(job_):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert not [port for port in container.get("ports", []) if "hostPort" in port]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert "serviceAccountName" not in spec


@each_job_made
def test_every_container_says_what_it_needs_and_may_have(job_: Manifest) -> None:
    for container in containers(job_):
        resources = container["resources"]
        assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["requests"]) & set(resources["limits"])
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    for volume in job_["spec"]["template"]["spec"]["volumes"]:
        if "emptyDir" in volume:
            assert volume["emptyDir"]["sizeLimit"]


def test_one_gpu_is_asked_for_and_required() -> None:
    manifests = RENDERED["gpu"]
    (job_,) = of_kind(manifests, "Job").values()
    init, train = containers(job_)
    assert train["resources"]["requests"]["nvidia.com/gpu"] == train["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in init["resources"]["limits"]
    (config,) = of_kind(manifests, "ConfigMap").values()
    assert config["data"]["JOB_DEVICE"] == "gpu"
    assert train["image"] == "sentiment-job:gpu"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_that_is_named_is_there(overlay: str) -> None:
    manifests = RENDERED[overlay]
    claims, maps = of_kind(manifests, "PersistentVolumeClaim"), of_kind(manifests, "ConfigMap")
    for job_ in of_kind(manifests, "Job").values():
        spec = job_["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for container in containers(job_):
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
            assert all(source["configMapRef"]["name"] in maps for source in container.get("envFrom", []))
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {"claimName": next(iter(claims))})["claimName"] in claims
    modes = {mode for claim in claims.values() for mode in claim["spec"]["accessModes"]}
    assert modes == {"ReadWriteMany" if overlay in ("multi-worker", "sweep") else "ReadWriteOnce"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_labels_are_the_standard_ones_and_policies_select_the_pods(overlay: str) -> None:
    manifests = RENDERED[overlay]
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "sentiment-job"
        assert labels["app.kubernetes.io/version"] == job.__version__
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    for name, job_ in of_kind(manifests, "Job").items():
        labels = job_["spec"]["template"]["metadata"]["labels"]
        chosen = [each["spec"] for each in policies if each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()]
        assert {kind for each in chosen for kind in each["policyTypes"]} == {"Ingress", "Egress"}
        # What comes in, and goes out on any port, is of the group's own pods.
        inside = [
            rule for each in chosen for rule in [*each.get("ingress", []), *each.get("egress", [])] if "ports" not in rule
        ]
        assert len(inside) == (2 if overlay == "multi-worker" else 0)
        for rule in inside:
            (peer,) = rule.get("from", rule.get("to"))
            assert set(peer) == {"podSelector"}
            assert peer["podSelector"]["matchLabels"].items() <= labels.items()
            assert len(peer["podSelector"]["matchLabels"]) == 2
        ports = {port["port"] for each in chosen for rule in each.get("egress", []) for port in rule.get("ports", [])}
        assert ports == (set() if "merge" in name else {53, 443})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configmap_is_a_configuration(overlay: str) -> None:
    command: Any = typer.main.get_command(cli.app)
    known = {option.envvar for option in command.commands["train"].params}
    (config,) = of_kind(RENDERED[overlay], "ConfigMap").values()
    assert set(config["data"]) <= known
    (arguments,) = [
        containers(each)[-1]["args"] for name, each in of_kind(RENDERED[overlay], "Job").items() if name in TRAINING
    ]
    arguments = [each.replace("$(JOB_COMPLETION_INDEX)", "3") for each in arguments]
    plan = json.loads(CliRunner(env=config["data"]).invoke(cli.app, [*arguments, "--dry-run"]).stdout)
    assert plan["preset"] == "standard"
    assert plan["device"] == ("gpu" if overlay == "gpu" else "cpu")
    assert len(plan["trainings"]) == (1 if overlay == "sweep" else 10)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_hangs_is_ended_and_logs_are_json(overlay: str) -> None:
    (config,) = of_kind(RENDERED[overlay], "ConfigMap").values()
    assert config["data"]["JOB_LOG_FORMAT"] == "json"
    for name, job_ in of_kind(RENDERED[overlay], "Job").items():
        (main,) = job_["spec"]["template"]["spec"]["containers"]
        if name not in TRAINING:
            assert "--log-format=json" in main["args"]
            continue
        probe = main["livenessProbe"]
        shell, flag, script = probe["exec"]["command"]
        path = config["data"]["JOB_HEARTBEAT"]
        assert path in script
        assert [mount for mount in main["volumeMounts"] if Path(path).parent == Path(mount["mountPath"])]
        # For real, on files of this and of another age.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "heartbeat")
            for age, code in ((None, 1), (60, 0), (1700, 0), (1900, 1)):
                if age is not None:
                    file.touch()
                    os.utime(file, (time.time() - age,) * 2)
                assert (
                    subprocess.run([shell, flag, script.replace(path, str(file))], stderr=subprocess.DEVNULL).returncode == code
                )


def test_a_changed_configuration_is_another_template() -> None:
    """A Job's template is immutable, so a change is refused as a whole and no retry mixes two configurations."""
    (before,), (after,) = (of_kind(each, "Job").values() for each in (RENDERED["cpu"], render("cpu", {"JOB_SEEDS": 6})))
    assert before["spec"]["template"] != after["spec"]["template"]


def test_the_image_is_set_in_one_place() -> None:
    digest = f"example/sentiment-job@sha256:{'0' * 64}"
    for overlay in OVERLAYS:
        jobs = of_kind(render(overlay, image=digest), "Job").values()
        assert {container["image"] for job_ in jobs for container in containers(job_)} == {digest}
    assert {container["image"] for job_ in JOBS.values() for container in containers(job_)} == {
        "sentiment-job:cpu",
        "sentiment-job:gpu",
    }
    assert "sha256" not in "".join(path.read_text() for path in (ROOT / "k8s").rglob("*.yaml"))


def test_the_sweep_has_an_index_for_every_training() -> None:
    (config,) = of_kind(RENDERED["sweep"], "ConfigMap").values()
    trainings = int(config["data"]["JOB_SEEDS"]) * len(Architecture)
    spec = SWEEP["spec"]
    assert spec["completions"] == trainings
    assert spec["template"]["spec"]["containers"][0]["args"] == ["train", f"--shard=$(JOB_COMPLETION_INDEX)/{trainings}"]


def test_the_sweep_runs_on_gpus_when_its_component_is_changed(tmp_path: Path) -> None:
    text = (ROOT / "k8s" / "overlays" / "sweep" / "kustomization.yaml").read_text()
    assert "../../components/cpu" in text
    # As the file's own comment says.
    rendered = render("sweep", component=("cpu", "gpu"))
    job_ = of_kind(rendered, "Job")["sentiment-job-sweep"]
    assert containers(job_)[1]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "resources" in containers(of_kind(rendered, "Job")["sentiment-job-merge-sweep"])[0]


FAILING, COUNTED = [2, 65, 66, 70, 78], [1, 69, 71, 73, 74, 75, 130, 137, 139, 143]


class TestController:
    """What becomes of the shipped Jobs, by the model in tests/cluster.py."""

    def run(self, name: str, *outcomes: Outcome | int) -> Controller:
        """One pod after the other; the last outcome repeats."""
        return self.by_index(name, {0: outcomes})

    def by_index(self, name: str, outcomes: dict[int, tuple[Outcome | int, ...]]) -> Controller:
        def end(index: int, attempt: int) -> Outcome:
            wanted = outcomes.get(index, (0,))
            value = wanted[min(attempt, len(wanted) - 1)]
            return value if isinstance(value, Outcome) else Outcome(value)

        return Controller(JOBS[name], end).finish()

    @pytest.mark.parametrize("name", ["sentiment-job-cpu", "sentiment-job-gpu", "sentiment-job-merge-sweep"])
    def test_one_pod(self, name: str) -> None:
        assert self.run(name, 0).condition == "Complete"
        for code in FAILING:
            ended = self.run(name, code)
            assert (ended.condition, ended.reason, ended.pods) == ("Failed", "PodFailurePolicy", 1)
        for code in COUNTED:
            ended = self.run(name, *[code] * 6, 0)
            assert (ended.condition, ended.pods) == ("Complete", 7)
            ended = self.run(name, code)
            assert (ended.condition, ended.reason, ended.pods) == ("Failed", "BackoffLimitExceeded", 7)

    @pytest.mark.parametrize("code", [137, 143, 78])
    def test_any_number_of_disruptions_costs_no_try(self, code: int) -> None:
        ended = self.run("sentiment-job-cpu", *[Outcome(code, disrupted=True)] * 50, *[75] * 6, 0)
        assert (ended.condition, ended.pods) == ("Complete", 57)

    def test_one_index_fails_and_the_others_go_on(self) -> None:
        ended = self.by_index("sentiment-job-sweep", {3: (65,), 5: (69, 69, 0), 7: (75,)})
        assert (ended.condition, ended.reason, ended.failed) == ("Failed", "FailedIndexes", [3, 7])
        assert ended.completed == [0, 1, 2, 4, 5, 6, 8, 9]
        assert ended.pods == 7 + 1 + 3 + 7

    def test_one_index_does_not_use_up_the_tries_of_another(self) -> None:
        ended = self.by_index("sentiment-job-sweep", {index: (*[69] * 6, 0) for index in range(10)})
        assert (ended.condition, ended.pods) == ("Complete", 70)

    def test_half_of_the_indexes_failing_stops_the_rest(self) -> None:
        ended = self.by_index("sentiment-job-sweep", dict.fromkeys(range(10), (78,)))
        assert (ended.condition, ended.reason, ended.pods) == ("Failed", "MaxFailedIndexesExceeded", 5)


def test_the_readme_s_reader_sees_the_volume_and_nothing_else() -> None:
    (pod,) = yaml.safe_load_all((ROOT / "k8s" / "reader.yaml").read_text())
    kubernetes_validate.validate(pod, "1.31", strict=True)
    claim = pod["spec"]["volumes"][0]["persistentVolumeClaim"]
    assert claim["claimName"] in of_kind(RENDERED["gpu"], "PersistentVolumeClaim")
    assert claim["readOnly"] is True
    wrapped = {"metadata": pod["metadata"], "spec": {"template": pod}}
    assert pod["spec"]["restartPolicy"] == "Never"
    test_the_restricted_pod_security_standard_holds(wrapped)
