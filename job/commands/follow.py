"""A process of a group that is not the chief: it trains with the others, and writes nothing but the cache."""

import logging
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import job
from job.config import Configuration, DeviceChoice, fingerprint
from job.data import corpus as corpora
from job.data import reviews
from job.data.corpus import Corpus
from job.errors import ConfigurationError, JobError
from job.machine import device as devices
from job.machine import environment, provenance, signals
from job.network import kernel
from job.output.checkpoints import Snapshot
from job.peers import Peers, free_hosts
from job.records.metrics import DeviceRecord
from job.training import evidence
from job.training.crew import Follower
from job.training.desk import Unseen
from job.training.line import Message
from job.training.work import TASK, of_message
from job.training.worker import ends_with_its_parent
from job.training.workers import unknown_program

log = logging.getLogger(__name__)
# After the chief has ended, for the others to do so.
_END_SECONDS = 10.0


@contextmanager
def on_all_devices(configuration: Configuration) -> Iterator[Configuration]:
    """Starts a process for each other device that is to train with this one, for which the configuration of the chief is given.

    Raises:
        DeviceError: There are not so many.
    """
    assert configuration.devices is not None
    count = devices.count(configuration.devices, configuration.device is DeviceChoice.cpu)
    if count == 1:
        yield replace(configuration, devices=None)
        return
    hosts = free_hosts(count)
    # A GPU's driver may not be forked.
    context = multiprocessing.get_context("spawn")
    group = [replace(configuration, devices=None, peers=Peers(index, hosts)) for index in range(count)]
    others = [context.Process(target=_start, args=(each,), daemon=True) for each in group[1:]]
    with unknown_program():
        for process in others:
            process.start()
    try:
        yield group[0]
    finally:
        for process in others:
            process.join(_END_SECONDS)
            process.kill()


def _start(configuration: Configuration) -> None:
    """The main function of such a process."""
    ends_with_its_parent()
    signals.install()
    try:
        device = kernel.select_device(configuration)
        with environment.prepared(None, configuration.source.cache) as spare:
            follow(configuration, device, spare)
    except (JobError, signals.Interrupted) as error:
        # The chief says why.
        os._exit(error.exit_code)


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
    log.info(f"{configuration.peers.describe()}; {configuration.peers.name(0)} writes the results")
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
        else:
            _do(message, corpus, configuration, device, spare, follower, group)


def _do(
    message: Message,
    corpus: Corpus,
    configuration: Configuration,
    device: DeviceRecord,
    spare: Path | None,
    follower: Follower,
    group: Any,
) -> None:
    task, told = TASK.validate_python(message.values["task"]), None
    if task.values.evidence:
        train = reviews.split(corpus, task.values).train
        told = evidence.load(train, task.values, configuration.source.cache, spare)
    with follower.explained():
        of_message(message.kind, task, message.arrays, corpus, told, group).do(FollowersDesk(follower), device)


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
