"""Which kernel runs a network's recurrence: the device's fast one where there is one for it."""

from collections.abc import Mapping

from job.presets import Architecture, Hyperparameters
from job.records.base import Kernel
from job.records.metrics import DeviceRecord

FAST_ACTIVATIONS = {Architecture.rnn: ("tanh", "relu"), Architecture.lstm: ("tanh",)}
"""What a recurrent layer's activation may be for the fast kernels, ours and cuDNN's."""


def choose(device: DeviceRecord, architecture: Architecture, values: Hyperparameters) -> Kernel:
    """What runs the recurrence: `cudnn` on a GPU, our own loops compiled by `xla` on a CPU, else `while_loop`, Keras's layer."""
    if _why_slow(device, architecture, values) is not None:
        return "while_loop"
    return "cudnn" if device.type == "gpu" else "xla"


def slow_networks(device: DeviceRecord, networks: Mapping[Architecture, Hyperparameters]) -> dict[Architecture, str]:
    """Of these networks those without a fast kernel on this device, and why."""
    reasons = {name: _why_slow(device, name, values) for name, values in networks.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _why_slow(device: DeviceRecord, architecture: Architecture, values: Hyperparameters) -> str | None:
    if architecture in device.slow_kernels:
        return device.slow_kernels[architecture]
    if values.activation not in FAST_ACTIVATIONS[architecture] or not values.embedding_size:
        return "the fast ones know only tanh and tokens"
    return None
