"""Which kernel runs a network's recurrence: the device's fast one where there is one for it."""

import logging
from collections.abc import Mapping

from job.config import Configuration
from job.errors import DeviceError
from job.machine import device as devices
from job.presets import Architecture, Hyperparameters
from job.records.base import Kernel
from job.records.metrics import DeviceRecord

log = logging.getLogger(__name__)
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


def select_device(configuration: Configuration) -> DeviceRecord:
    """Decides where to compute; says which networks would be slow there.

    Raises:
        DeviceError: A GPU, its fast kernel, or what several of them sum by was required, and there is none.
    """
    device = devices.select(configuration.device, configuration.require_fast_kernel, starts=False)
    if device.type == "gpu" and configuration.peers:
        devices.require_nccl()
    slow = slow_networks(device, configuration.hyperparameters)
    names, why = " and ".join(slow), "; ".join(f"{name}: {reason}" for name, reason in slow.items())
    if configuration.require_fast_kernel and slow:
        raise DeviceError(
            f"--require-fast-kernel: {names} would run in TensorFlow's loop over time steps on this {device.type} ({why}); leave the option out to train so"
        )
    if device.type == "gpu" and slow:
        log.warning(f"{names} runs in TensorFlow's slow loop over time steps ({why})")
    return device


def _why_slow(device: DeviceRecord, architecture: Architecture, values: Hyperparameters) -> str | None:
    if architecture in device.slow_kernels:
        return device.slow_kernels[architecture]
    if values.activation not in FAST_ACTIVATIONS[architecture] or not values.embedding_size:
        return "the fast ones know only tanh and tokens"
    return None
