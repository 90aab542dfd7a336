"""The three ways to run a group: a plain Job, a JobSet, and a TrainJob of Kubeflow Trainer."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import kubeflow_trainer_api.models as api
import kubernetes_validate
import pytest
import typer.main
from typer.testing import CliRunner

import job
from job import cli
from job.peers import resolve_peers
from tests.k8s.cluster import OVERLAYS, Controller, Manifest, Outcome, containers, of_kind, readme_actions, render
from tests.k8s.groups import JobSetController, make_job, make_job_set

GROUPS = ("multi-worker", "jobset", "trainjob")
JOB_SETS = ("jobset", "trainjob")
RENDERED = {overlay: render(overlay) for overlay in GROUPS}
MODELS = {
    "JobSet": api.JobsetV1alpha2JobSet,
    "TrainJob": api.TrainerV1alpha1TrainJob,
    "TrainingRuntime": api.TrainerV1alpha1TrainingRuntime,
}
each_group = pytest.mark.parametrize("overlay", GROUPS)
each_job_set = pytest.mark.parametrize("overlay", JOB_SETS)


def check(manifest: Manifest) -> None:
    """Against the published schema of its kind. The models drop what they do not know and fill in what is missing."""
    assert MODELS[manifest["kind"]].from_dict(manifest).to_dict() == manifest


@each_job_set
def test_every_manifest_follows_its_schema(overlay: str) -> None:
    kinds = {"jobset": {"JobSet"}, "trainjob": {"TrainingRuntime", "TrainJob"}}[overlay]
    assert {each["kind"] for each in RENDERED[overlay]} == kinds | {"ConfigMap", "NetworkPolicy", "PersistentVolumeClaim"}
    for version in ("1.31", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(make_job(RENDERED[overlay]), version, strict=True)
        for manifest in RENDERED[overlay]:
            if manifest["kind"] not in kinds:
                kubernetes_validate.validate(manifest, version, strict=True)
    for kind in kinds:
        for manifest in of_kind(RENDERED[overlay], kind).values():
            check(manifest)


def _replicated(job_set: Manifest) -> Any:
    return job_set["spec"]["replicatedJobs"][0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda each: each["spec"].update(failurePolcy={}),
        lambda each: each["spec"]["failurePolicy"].update(maxRestarts="10"),
        lambda each: each["spec"]["failurePolicy"]["rules"][0].pop("name"),
        lambda each: each["spec"]["failurePolicy"]["rules"][0].update(onJobFailureMessages=["."]),
        lambda each: each["spec"]["network"].update(enableDNSHostnames="yes"),
        lambda each: _replicated(each).update(replica=1),
        lambda each: _replicated(each)["template"]["spec"]["template"]["spec"]["containers"][0].update(argument=["train"]),
    ],
)
def test_a_manifest_that_does_not_follow_its_schema_is_found(spoil: Callable[[Manifest], None]) -> None:
    ((_, job_set),) = of_kind(RENDERED["jobset"], "JobSet").items()
    spoiled = copy.deepcopy(job_set)
    spoil(spoiled)
    with pytest.raises((AssertionError, ValueError)):
        check(spoiled)


def test_a_group_s_pods_are_alike_however_they_are_run() -> None:
    """And no copies: each is the base's Job. What differs is named here."""

    def comparable(overlay: str) -> Manifest:
        text = re.sub(rf"-{overlay}(-[a-z0-9]{{10}})?\"", '"', json.dumps(make_job(RENDERED[overlay])["spec"]))
        spec: Manifest = json.loads(text)
        for name in ("backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes", "podFailurePolicy", "ttlSecondsAfterFinished"):
            spec.pop(name, None)
        train = containers({"spec": spec})[-1]
        if overlay == "trainjob":
            train["name"] = "train"
            assert [each["name"] for each in train.pop("env")] == ["JOB_HOSTS"]
        return spec

    first, *others = map(comparable, GROUPS)
    assert first["template"]["spec"]["subdomain"] == "sentiment-job"
    assert others == [first, first]


@each_group
def test_the_pods_are_found_by_their_names(overlay: str) -> None:
    """A pod's name is its Job's and its index, in the domain of the headless Service that it names."""
    manifests = RENDERED[overlay]
    job_ = make_job(manifests)
    spec, pod, train = job_["spec"], job_["spec"]["template"]["spec"], containers(job_)[-1]
    port = train["ports"][0]["containerPort"]
    hosts = [f"{job_['metadata']['name']}-{index}.{pod['subdomain']}:{port}" for index in range(spec["completions"])]
    assert [each.strip() for each in _environment(manifests)["JOB_HOSTS"].split(",")] == hosts
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"] == 4
    assert train["args"] == ["train", f"--worker=$(JOB_COMPLETION_INDEX)/{spec['completions']}"]
    peers = resolve_peers("0/4", ",".join(hosts), {})
    assert peers
    assert [each["containerPort"] for each in train["ports"]] == [port, peers.control[1]]


def _environment(manifests: list[Manifest]) -> dict[str, str]:
    """Of the training container: the ConfigMap's, then its own."""
    (config,) = of_kind(manifests, "ConfigMap").values()
    train = containers(make_job(manifests))[-1]
    assert train["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    data: dict[str, str] = config["data"]
    return data | {each["name"]: each["value"] for each in train.get("env", [])}


def test_the_plain_job_brings_the_service_that_names_its_pods() -> None:
    ((service, found),) = of_kind(RENDERED["multi-worker"], "Service").items()
    template = make_job(RENDERED["multi-worker"])["spec"]["template"]
    assert template["spec"]["subdomain"] == service
    assert (found["spec"]["clusterIP"], found["spec"]["publishNotReadyAddresses"]) == ("None", True)
    assert found["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    ports = [each["containerPort"] for each in containers(make_job(RENDERED["multi-worker"]))[-1]["ports"]]
    assert [each["port"] for each in found["spec"]["ports"]] == ports


@each_job_set
def test_jobset_makes_the_service_that_names_its_pods(overlay: str) -> None:
    job_set = make_job_set(RENDERED[overlay])
    assert job_set["spec"]["network"] == {"enableDNSHostnames": True, "publishNotReadyAddresses": True}
    assert (len(job_set["spec"]["replicatedJobs"]), job_set["spec"]["replicatedJobs"][0]["replicas"]) == (1, 1)


def test_a_finished_jobset_goes_after_a_week_and_a_trainjob_s_with_the_trainjob() -> None:
    assert make_job_set(RENDERED["jobset"])["spec"]["ttlSecondsAfterFinished"] == 7 * 86400
    assert "ttlSecondsAfterFinished" not in make_job_set(RENDERED["trainjob"])["spec"]
    # Or the JobSet would make it again.
    assert not [overlay for overlay in JOB_SETS if "ttlSecondsAfterFinished" in make_job(RENDERED[overlay])["spec"]]


@each_job_set
def test_everything_that_is_named_is_there(overlay: str) -> None:
    manifests = RENDERED[overlay]
    claims = of_kind(manifests, "PersistentVolumeClaim")
    spec = make_job(manifests)["spec"]["template"]["spec"]
    wanted = [each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if "persistentVolumeClaim" in each]
    assert sorted(wanted) == sorted(claims)
    assert {mode for claim in claims.values() for mode in claim["spec"]["accessModes"]} == {"ReadWriteMany"}
    (config,) = of_kind(manifests, "ConfigMap")
    for container in containers(make_job(manifests)):
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in spec["volumes"]}
        assert [each["configMapRef"]["name"] for each in container["envFrom"]] == [config]


@each_job_set
def test_labels_are_the_standard_ones_and_policies_select_the_pods(overlay: str) -> None:
    manifests = RENDERED[overlay]
    labels = make_job(manifests)["spec"]["template"]["metadata"]["labels"]
    for each in [*(manifest["metadata"]["labels"] for manifest in manifests), labels]:
        assert each["app.kubernetes.io/name"] == "sentiment-job"
        assert each["app.kubernetes.io/version"] == job.__version__
    policies = {name.removesuffix(f"-{overlay}"): each["spec"] for name, each in of_kind(manifests, "NetworkPolicy").items()}
    assert set(policies) == {"sentiment-job", "sentiment-job-fetch", "sentiment-job-group"}
    assert all(each["podSelector"]["matchLabels"].items() <= labels.items() for each in policies.values())
    group = policies["sentiment-job-group"]
    assert group["ingress"] == [{"from": [{"podSelector": group["podSelector"]}]}]
    assert group["egress"] == [{"to": [{"podSelector": group["podSelector"]}]}]


@each_job_set
def test_the_environment_is_a_configuration(overlay: str) -> None:
    command: Any = typer.main.get_command(cli.app)
    environment = _environment(RENDERED[overlay])
    assert set(environment) <= {option.envvar for option in command.commands["train"].params}
    arguments = [each.replace("$(JOB_COMPLETION_INDEX)", "3") for each in containers(make_job(RENDERED[overlay]))[-1]["args"]]
    plan = json.loads(CliRunner(env=environment).invoke(cli.app, [*arguments, "--dry-run"]).stdout)
    assert (plan["preset"], plan["device"], len(plan["trainings"])) == ("standard", "cpu", 10)


def test_image_configuration_and_device_are_set_as_elsewhere() -> None:
    digest = f"example/sentiment-job@sha256:{'0' * 64}"
    for overlay in JOB_SETS:
        changed = render(overlay, {"JOB_SEEDS": 6}, image=digest, component=("cpu", "gpu"))
        assert (_environment(changed)["JOB_SEEDS"], _environment(changed)["JOB_DEVICE"]) == ("6", "gpu")
        before, after = (set(of_kind(each, "ConfigMap")) for each in (RENDERED[overlay], changed))
        assert before != after
        assert {each["image"] for each in containers(make_job(changed))} == {digest}
        assert containers(make_job(changed))[-1]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_names_of_overlays_do_not_meet_in_a_namespace() -> None:
    manifests = {overlay: render(overlay) for overlay in OVERLAYS} | RENDERED
    names = [(each["kind"], each["metadata"]["name"]) for every in manifests.values() for each in every]
    for overlay in JOB_SETS:
        # What the controllers make.
        job_set, job_ = make_job_set(RENDERED[overlay]), make_job(RENDERED[overlay])
        names += [("Job", job_["metadata"]["name"]), ("Service", job_["spec"]["template"]["spec"]["subdomain"])]
        names += [("JobSet", job_set["metadata"]["name"])] if overlay == "trainjob" else []
    assert len(names) == len(set(names))


def test_a_plain_job_replaces_each_pod_of_a_group_by_itself() -> None:
    """Whoever dies, all of its processes end: each index fails as often as any of them."""

    def run(outcomes: dict[int, tuple[int, ...]]) -> Controller:
        def end(index: int, attempt: int) -> Outcome:
            return Outcome(outcomes[index][min(attempt, len(outcomes[index]) - 1)])

        return Controller(make_job(RENDERED["multi-worker"]), end).finish()

    ended = run({index: (137 if index == 2 else 75, 75, 0) for index in range(4)})
    assert (ended.condition, ended.pods) == ("Complete", 12)
    ended = run(dict.fromkeys(range(4), (75,)))
    assert (ended.condition, ended.reason) == ("Failed", "MaxFailedIndexesExceeded")
    assert run(dict.fromkeys(range(4), (78,))).reason == "PodFailurePolicy"


@each_job_set
class TestJobSetController:
    """What becomes of the group, by the model in tests/k8s/groups.py."""

    def run(self, overlay: str, *starts: list[Outcome | int] | int) -> JobSetController:
        """How the pods ended in each start, or all of them; the last one repeats."""

        def end(start: int) -> list[Outcome]:
            wanted = starts[min(start, len(starts) - 1)]
            pods = [wanted] * 4 if isinstance(wanted, int) else wanted
            return [each if isinstance(each, Outcome) else Outcome(each) for each in pods]

        return JobSetController(RENDERED[overlay], end).finish()

    def test_one_death_starts_all_of_them_again(self, overlay: str) -> None:
        ended = self.run(overlay, [75, 75, 137, 75], 0)
        assert (ended.condition, ended.starts, ended.counted) == ("Completed", 2, 1)
        # The Job itself replaces none.
        assert [each.pods for each in ended.jobs] == [1, 4]

    def test_what_may_pass_is_tried_again_until_the_limit(self, overlay: str) -> None:
        promised = [code for code, action in readme_actions().items() if action == "count" and code != 143]
        for code in [*promised, 137, 139]:
            ended = self.run(overlay, *[code] * 10, 0)
            assert (ended.condition, ended.starts, ended.counted) == ("Completed", 11, 10)
            ended = self.run(overlay, code)
            assert (ended.condition, ended.reason, ended.starts) == ("Failed", "ReachedMaxRestarts", 11)

    def test_what_would_fail_again_fails_the_group_at_once(self, overlay: str) -> None:
        promised = [code for code, action in readme_actions().items() if action == "fail"]
        assert promised == [2, 65, 66, 70, 78]
        for code in promised:
            for pods in ([code] * 4, [0, 0, code, 75]):
                ended = self.run(overlay, list(pods), 0)
                assert (ended.condition, ended.reason, ended.starts) == ("Failed", "FailJobSetFailurePolicyAction", 1)

    @pytest.mark.parametrize("code", [137, 143, 78])
    def test_any_number_of_disruptions_costs_no_try(self, overlay: str, code: int) -> None:
        disrupted, told = Outcome(code, disrupted=True), Outcome(143)
        # Of a drained pod's group the others end with 143, and have no condition; who is seen first does not matter.
        seen: list[list[Outcome | int]] = [[disrupted, told, told, told], [told, told, told, disrupted]]
        ended = self.run(overlay, *seen * 20, *[75] * 10, 0)
        assert (ended.condition, ended.starts, ended.counted) == ("Completed", 51, 10)

    def test_what_hangs_fails_the_group(self, overlay: str) -> None:
        controller = JobSetController(RENDERED[overlay], lambda _: [])
        hung = Controller(make_job(RENDERED[overlay]), lambda *_: Outcome(0), "Failed", "DeadlineExceeded")
        assert controller.act(hung) == "FailJobSet"
        assert hung.job["spec"]["activeDeadlineSeconds"] == 86400

    def test_a_rule_s_message_that_is_worded_in_another_way_ends_it(self, overlay: str) -> None:
        """Rather than that it starts for ever."""
        controller = JobSetController(RENDERED[overlay], lambda _: [])
        failed = Controller(make_job(RENDERED[overlay]), lambda *_: Outcome(0), "Failed", "PodFailurePolicy", "for a reason")
        assert controller.act(failed) == "FailJobSet"
