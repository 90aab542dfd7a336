"""How many trainings to do side by side: as many as there are, as there are cores for, and as there is memory for."""

import os
from dataclasses import dataclass

from job.config import Configuration
from job.machine import device as devices
from job.machine import memory, runtime
from job.presets import Architecture, Hyperparameters
from job.records.metrics import DeviceRecord

# Measured (k8s/PLANNING.md): a worker with TensorFlow and nothing else, and what this process takes beside the workers.
_WORKER_BYTES, _PARENT_BYTES = 450 << 20, 700 << 20
# A step holds the states, what they came from and the gradients of both, of every token of a batch: so many float32 a unit.
_PER_UNIT = 9
# Weights, their gradients, Adam's two moments, the best epoch's, and a snapshot on its way.
_PER_WEIGHT = 7
# What a process takes of a GPU before it computes, and room; and how many share one, since none was measured with more.
_GPU_BYTES, _MOST_ON_GPU = 3 << 30, 4


@dataclass(frozen=True)
class Staff:
    """Who does the trainings of a run."""

    workers: int
    """1 for this process alone."""
    cores: list[int]
    """That workers are bound to, in this order; none where they are not."""
    share: int
    """Of cores, for each."""
    why: str
    """In one line."""


def choose(configuration: Configuration, device: DeviceRecord, trials: int, longest: int) -> Staff:
    """Decides, as `--workers` says or by itself.

    Args:
        trials: That are left to do.
        longest: Tokens of the longest review.
    """
    trainings = _trainings(configuration, trials)
    asked, cores = configuration.workers, runtime.cores()
    networks = [*configuration.hyperparameters.items(), *configuration.teachers.items()]
    need = max(_need(name, values, longest) for name, values in networks)
    free = memory.available()
    room = None if free is None else max(1, (free - _PARENT_BYTES) // need)
    bounds = {f"{trainings} trainings": trainings, f"{cores} cores": cores}
    if room is not None and free is not None:
        bounds[f"{free / 2**30:.1f} GiB of free memory, of which each may take {need / 2**30:.1f} GiB"] = int(room)
    if device.type == "gpu":
        gpus = max(1, devices.gpus())
        size = f"{gpus} GPUs" if gpus > 1 else "a GPU"
        bounds[f"{size} of {(device.memory_bytes or 0) / 2**30:.0f} GiB"] = (
            max(1, (device.memory_bytes or 0) // _GPU_BYTES) * gpus
        )
        bounds[f"at most {_MOST_ON_GPU} on a GPU"] = _MOST_ON_GPU * gpus
    count = max(1, min(trainings, min(bounds.values()) if asked is None else asked))
    share = max(1, cores // count)
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    # Where a quota bounds the cores and not a set of them, others may be bound to the very ones that would be taken here.
    is_ours = len(allowed) == cores and count * share <= cores
    why = f"--workers {asked}" if asked is not None else ", ".join(bounds)
    return Staff(
        count, allowed if is_ours and count > 1 else [], share, f"{count} training{'s' * (count > 1)} at a time ({why})"
    )


def _trainings(configuration: Configuration, trials: int) -> int:
    """So many at most are left for as many trials."""
    if configuration.compares_distances:
        return trials * (1 + max(map(len, configuration.remedies.values()))) * len(configuration.source.distances)
    return trials + len(configuration.teachers)


def _need(name: Architecture, values: Hyperparameters, longest: int) -> int:
    """Bytes that a training takes, nearly."""
    gates, directions = (4 if name is Architecture.lstm else 1), (2 if values.bidirectional else 1)
    batch = values.batch_size * min(values.max_tokens, longest) * values.units * directions * _PER_UNIT * (1 + gates / 4)
    words = values.embedded_ids or values.vocabulary_size
    weights = words * values.embedding_size + directions * gates * values.units * (values.units + values.embedding_size + 7)
    return int(_WORKER_BYTES + 4 * (batch + _PER_WEIGHT * weights))
