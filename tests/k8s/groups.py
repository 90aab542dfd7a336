"""What JobSet and Kubeflow Trainer make of a group's manifests, as far as it can be had without them.

`JobSetController` is a model of the JobSet controller, for what decides whether the group is started again: failurePolicy
(rules by reason and message, the first match wins; maxRestarts). It models one replicated Job with one replica, and not
time, dependencies, success policies and restarts in place. The Job's own part is `tests.k8s.cluster.Controller`.
"""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.k8s.cluster import Controller, Manifest, Outcome, containers, of_kind


def make_job_set(manifests: list[Manifest]) -> Manifest:
    """The JobSet that there is, or that Trainer makes of the TrainJob and its runtime."""
    if found := of_kind(manifests, "JobSet"):
        (job_set,) = found.values()
        return job_set
    ((name, train_job),) = of_kind(manifests, "TrainJob").items()
    reference, trainer = train_job["spec"]["runtimeRef"], train_job["spec"]["trainer"]
    runtime = of_kind(manifests, reference["kind"])[reference["name"]]
    spec = copy.deepcopy(runtime["spec"]["template"]["spec"])
    (replicated,) = spec["replicatedJobs"]
    assert replicated["template"]["metadata"]["labels"]["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    count = trainer.get("numNodes", runtime["spec"]["mlPolicy"]["numNodes"])
    replicated["template"]["spec"] |= {"completions": count, "parallelism": count}
    (node,) = [each for each in containers(replicated["template"]) if each["name"] == "node"]
    node["args"] = trainer.get("args", node["args"])
    node["env"] = [*node.get("env", []), *trainer.get("env", [])]
    return {"kind": "JobSet", "metadata": {"name": name, "labels": runtime["metadata"]["labels"]}, "spec": spec}


def make_job(manifests: list[Manifest]) -> Manifest:
    """The Job of a group: its own, or the one that the JobSet makes."""
    if found := of_kind(manifests, "Job"):
        (job,) = found.values()
        return job
    job_set = make_job_set(manifests)
    (replicated,) = job_set["spec"]["replicatedJobs"]
    job = copy.deepcopy(replicated["template"])
    network, name = job_set["spec"]["network"], job_set["metadata"]["name"]
    if network["enableDNSHostnames"]:
        job["spec"]["template"]["spec"]["subdomain"] = network.get("subdomain", name)
    metadata = job["metadata"] | {"name": f"{name}-{replicated['name']}-0"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job["spec"]}


@dataclass
class JobSetController:
    """Runs a group by `run(start)` and decides as the JobSet controller does.

    `run` gives how the pods of a start ended, in the order in which the Job controller sees them.
    """

    manifests: list[Manifest]
    run: Callable[[int], list[Outcome]]
    condition: str = ""
    reason: str = ""
    starts: int = 0
    counted: int = 0
    jobs: list[Controller] = field(default_factory=list)

    def act(self, job: Controller) -> str:
        """The action of the first rule that matches a Job's failure; without one all are started again."""
        for rule in make_job_set(self.manifests)["spec"]["failurePolicy"]["rules"]:
            reasons, patterns = rule.get("onJobFailureReasons", []), rule.get("onJobFailureMessagePatterns", [])
            fits = not patterns or any(re.search(pattern, job.message) for pattern in patterns)
            if fits and (not reasons or job.reason in reasons):
                return str(rule["action"])
        return "RestartJobSet"

    def finish(self) -> "JobSetController":
        limit = make_job_set(self.manifests)["spec"]["failurePolicy"]["maxRestarts"]
        while not self.condition:
            outcomes = self.run(self.starts)
            self.starts += 1
            self.jobs.append(Controller(make_job(self.manifests), lambda index, _, seen=outcomes: seen[index]).finish())  # type: ignore[misc]
            if self.jobs[-1].condition == "Complete":
                self.condition = "Completed"
                break
            action = self.act(self.jobs[-1])
            assert action in ("FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts")
            if action == "FailJobSet":
                self.condition, self.reason = "Failed", "FailJobSetFailurePolicyAction"
            elif action == "RestartJobSet" and self.counted == limit:
                self.condition, self.reason = "Failed", "ReachedMaxRestarts"
            self.counted += action == "RestartJobSet" and not self.condition
        return self
