"""The sweep and its merging as one JobSet: the same pods, in order."""

import copy

import kubernetes_validate

from tests.k8s.cluster import Manifest, of_kind, render
from tests.k8s.test_groups import check

PLAIN, RENDERED = render("sweep"), render("sweep-jobset")
((NAME, JOB_SET),) = of_kind(RENDERED, "JobSet").items()
JOBS: dict[str, Manifest] = {each["name"]: each for each in JOB_SET["spec"]["replicatedJobs"]}


def test_it_follows_its_schema() -> None:
    check(JOB_SET)
    for name, each in JOBS.items():
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": f"{NAME}-{name}-0"},
            "spec": each["template"]["spec"],
        }
        for version in ("1.31", kubernetes_validate.latest_version()):
            kubernetes_validate.validate(job, version, strict=True)
    assert {each["kind"] for each in RENDERED} == {"ConfigMap", "JobSet", "NetworkPolicy", "PersistentVolumeClaim"}
    # A pod's name becomes a label.
    assert len(f"{NAME}-train-0-999-xxxxx") <= 63


def test_its_jobs_are_the_sweep_s_but_for_their_end() -> None:
    for name, replicated in (("sentiment-job-sweep", "train"), ("sentiment-job-merge-sweep", "merge")):
        expected = copy.deepcopy(of_kind(PLAIN, "Job")[name]["spec"])
        assert expected.pop("ttlSecondsAfterFinished") == JOB_SET["spec"]["ttlSecondsAfterFinished"]
        assert JOBS[replicated]["template"]["spec"] == expected
    others = [[each for each in manifests if each["kind"] not in ("Job", "JobSet")] for manifests in (PLAIN, RENDERED)]
    assert others[0] == others[1]


def test_the_merging_begins_when_the_sweep_is_complete() -> None:
    assert [each["name"] for each in JOB_SET["spec"]["replicatedJobs"]] == ["train", "merge"]
    assert JOBS["merge"]["dependsOn"] == [{"name": "train", "status": "Complete"}]
    assert "dependsOn" not in JOBS["train"]
    # Jobs try again by themselves, index by index.
    assert JOB_SET["spec"]["failurePolicy"] == {"maxRestarts": 0}
