"""A process of a group that is not the chief: it trains with the others, and writes nothing but the cache."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import job
from job.config import Configuration, fingerprint
from job.data import corpus as corpora
from job.data import reviews
from job.data.corpus import Corpus
from job.errors import ConfigurationError
from job.machine import provenance
from job.network import kernel
from job.output.checkpoints import Snapshot
from job.records.metrics import DeviceRecord
from job.training import evidence
from job.training.crew import Follower
from job.training.desk import Unseen
from job.training.trial import Task
from job.training.work import TASK, Train


def said(configuration: Configuration, device: DeviceRecord) -> dict[str, Any]:
    """What all processes of a group must have in common."""
    return {
        "settings": fingerprint(configuration.identity("")),
        "seeds": configuration.seeds,
        "shard": configuration.shard and list(configuration.shard),
        "sentiment-job": job.__version__,
        "versions": provenance.versions(),
        "hosts": list(configuration.peers.hosts) if configuration.peers else [],
        "device": device.type,
        "kernels": {name: kernel.choose(device, name, values) for name, values in configuration.hyperparameters.items()},
    }


def follow(configuration: Configuration, device: DeviceRecord, spare: Path | None) -> None:
    """Does what the chief says, until it says that all is done.

    Raises:
        JobError: What the chief or this process ended with.
        TemporaryError: The chief did not come, or is gone.
    """
    assert configuration.peers is not None
    follower = Follower(configuration.peers, said(configuration, device))
    try:
        _follow(configuration, device, spare, follower)
    except BaseException as error:
        follower.end(error)
        raise


def _follow(configuration: Configuration, device: DeviceRecord, spare: Path | None, follower: Follower) -> None:
    message = follower.next()
    if message.kind == "end":
        return
    corpus = corpora.load(configuration.source, spare=spare)
    if corpus.sha256 != message.values["data"]:
        raise ConfigurationError(
            f"the data of {follower.peers.name(follower.peers.index)} are others than the chief's (SHA-256 {corpus.sha256[:12]}…, not {message.values['data'][:12]}…)"
        )
    follower.say("ready")
    group: Any = None
    while (message := follower.next()).kind != "end":
        from job.training.group import Group

        if message.kind == "start":
            group = Group(follower.peers)
        elif message.kind == "train":
            _train(TASK.validate_python(message.values["task"]), corpus, configuration, device, spare, follower, group)


def _train(
    task: Task,
    corpus: Corpus,
    configuration: Configuration,
    device: DeviceRecord,
    spare: Path | None,
    follower: Follower,
    group: Any,
) -> None:
    told = None
    if task.values.evidence:
        train = reviews.split(corpus, task.values).train
        told = evidence.load(train, task.values, configuration.source.cache, spare)
    with follower.explained():
        Train(task=task, corpus=corpus, evidence=told, group=group).do(FollowersDesk(follower), device)


class FollowersDesk(Unseen):
    """The desk of a training that another process keeps."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def load(self) -> Snapshot | None:
        """The snapshot that the chief goes on from."""
        message = self._follower.next()
        values: Mapping[str, Any] | None = message.values["snapshot"]
        return None if values is None else Snapshot(dict(values), message.arrays)

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Is the chief's to do."""

    def look(self, purpose: str) -> None:
        """Is on the chief's record."""
