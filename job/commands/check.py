"""Tells whether there is a GPU, and whether it works; and whether several devices, or machines, can sum together."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from job.errors import DeviceError, JobError
from job.machine import device, environment
from job.machine.device import Check
from job.peers import Peers, free_hosts
from job.training import collective
from job.training.collective import Collective


@dataclass(frozen=True, kw_only=True)
class Found:
    """What `check` finds out."""

    device: Check
    together: Collective | None = None
    """What came of summing over several processes, where that was asked for and there are several."""

    def to_values(self) -> dict[str, Any]:
        """As JSON values."""
        return self.device.to_values() | ({"together": self.together.to_values()} if self.together else {})


def check(devices: int | None = None, peers: Peers | None = None) -> Found:
    """Looks for a GPU and tries it, and then what several devices do together.

    Args:
        devices: So many of this machine's, 0 for all; None for one.
        peers: The group of processes, on several machines, of which this is one.

    Raises:
        DeviceError: There are not so many devices.
    """
    with environment.prepared(None, None):
        found = device.check()
        if found.works is False:
            return Found(device=found)
        return Found(device=found, together=_sum(devices, peers))


def _sum(devices: int | None, peers: Peers | None) -> Collective | None:
    if peers is not None:
        return collective.finish(peers, collective.start(peers))
    count = 1 if devices is None else device.count(devices)
    if count == 1:
        return None
    hosts = free_hosts(count)
    with ExitStack() as stack:
        group = [Peers(index, hosts) for index in range(count)]
        processes = [collective.start(each) for each in group]
        for each in processes:
            stack.callback(each.kill)
        found = [collective.finish(*each) for each in zip(group, processes, strict=True)]
    # All of them say the same, or one says what the others suffer from.
    return next((each for each in found if not each.works), found[0])


class _SumError(JobError):
    """The devices work, and do not sum."""


def judge(found: Found, require_gpu: bool) -> None:
    """Raises `DeviceError` where a GPU is present and does not work, or, if one is required, where none works.

    Raises:
        JobError: They do not sum; with the exit code of the cause.
    """
    checked, together = found.device, found.together
    if checked.works is False or (require_gpu and not checked.works):
        raise DeviceError(str(checked.problem))
    if together is not None and not together.works:
        error = _SumError(str(together.error))
        error.exit_code = together.exit_code or DeviceError.exit_code
        raise error
