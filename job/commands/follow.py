"""A process of a group that is not the chief: it trains with the others, and writes nothing but the cache."""

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import job
from job.config import Configuration, DeviceChoice, fingerprint
from job.data import corpus as corpora
from job.data import reviews
from job.errors import ConfigurationError, JobError
from job.machine import device as devices
from job.machine import environment, provenance, runtime, signals
from job.network import kernel
from job.output.checkpoints import Snapshot
from job.peers import Peers, free_hosts
from job.records.metrics import DeviceRecord
from job.training import evidence
from job.training.crew import Follower
from job.training.desk import Label, Unseen
from job.training.line import Message
from job.training.position import Position
from job.training.work import TASK, of_message
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
    signals.end_with_parent()
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


def follow(
    configuration: Configuration,
    device: DeviceRecord,
    spare: Path | None,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Does what the chief says, until it says that all is done.

    Args:
        alive: Is called after each step, of which the chief alone shows more.

    Raises:
        JobError: What the chief or this process ended with.
        TemporaryError: The chief did not come, or is gone.
    """
    assert configuration.peers is not None
    log.info(f"{configuration.peers.describe()}; {configuration.peers.name(0)} writes the results")
    follower = Follower(configuration.peers, said(configuration, device))
    try:
        message = follower.next()
        if message.kind != "end":
            _Following(configuration, device, spare, follower, alive).run(message.values["data"])
    except BaseException as error:
        follower.end(error)
        raise


class _Following:
    """The work of a process that is not the chief."""

    def __init__(
        self,
        configuration: Configuration,
        device: DeviceRecord,
        spare: Path | None,
        follower: Follower,
        alive: Callable[[], None],
    ) -> None:
        self._configuration, self._device, self._spare, self._follower = configuration, device, spare, follower
        self._desk = FollowersDesk(follower, alive)
        self._group: Any = None
        self._corpus = corpora.load(configuration.source, spare=spare)

    def run(self, data_hash: str) -> None:
        follower, found = self._follower, self._corpus.sha256
        if found != data_hash:
            raise ConfigurationError(
                f"the data of {follower.peers.name(follower.peers.index)} are others than the chief's (SHA-256 {found[:12]}…, not {data_hash[:12]}…)"
            )
        # It takes seconds, in which nobody should wait in TensorFlow for this process: there they hear of no loss.
        runtime.import_tensorflow()
        follower.say("ready")
        while (message := follower.next()).kind != "end":
            # Not before TensorFlow is wanted.
            from job.training.group import Group

            if message.kind == "start":
                self._group = Group(follower.peers)
            else:
                self._do(message)

    def _do(self, message: Message) -> None:
        task, told = TASK.validate_python(message.values["task"]), None
        assert self._group is not None
        if task.values.evidence:
            train = reviews.split(self._corpus, task.values).train
            told = evidence.load(train, task.values, self._configuration.source.cache, self._spare)
        with self._follower.explained():
            work = of_message(message.kind, task, message.arrays, self._corpus, told, self._group)
            work.do(self._desk, self._device)


class FollowersDesk(Unseen):
    """The desk of a training that another process keeps."""

    def __init__(self, follower: Follower, alive: Callable[[], None]) -> None:
        self._follower, self._alive = follower, alive

    def step(self, label: Label, position: Position, steps: int) -> None:
        """Is shown by the chief."""
        self._alive()

    def load(self) -> Snapshot | None:
        """The snapshot that the chief goes on from."""
        message = self._follower.next()
        values: Mapping[str, Any] | None = message.values["snapshot"]
        return None if values is None else Snapshot(dict(values), message.arrays)

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Is the chief's to do."""

    def look(self, purpose: str) -> None:
        """Is on the chief's record."""
