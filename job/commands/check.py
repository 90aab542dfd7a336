"""Tells whether there is a GPU, and whether it works."""

from job.errors import DeviceError
from job.machine import device, environment
from job.machine.device import Check


def check() -> Check:
    """Looks for a GPU and tries it."""
    with environment.prepared(None, None):
        return device.check()


def judge(checked: Check, require_gpu: bool) -> None:
    """Raises DeviceError where a GPU is present and does not work, or, if one is required, where none works."""
    if checked.works is False or (require_gpu and not checked.works):
        raise DeviceError(str(checked.problem))
