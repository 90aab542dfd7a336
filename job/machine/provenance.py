"""Where a result comes from: versions, source revision, memory used, and the command that makes it again."""

import platform
import resource
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import job
from job.errors import MissingInputError
from job.machine import device as devices
from job.machine import memory, runtime
from job.presets import HALF, OPTIONS, PRESETS, Architecture, option
from job.records.base import Kernel
from job.records.metrics import DeviceRecord
from job.records.run import Host, Plan, Start, now


def peak_memory_bytes() -> int:
    """The largest resident set that this process had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def versions() -> dict[str, str]:
    """Of what the results depend on."""
    return {"python": platform.python_version()} | {
        name: metadata.version(package)
        for name, package in (("tensorflow", _tensorflow()), ("keras", "keras"), ("numpy", "numpy"))
    }


def start() -> Start:
    """This process's, now."""
    host = Host(
        name=platform.node() or "unknown",
        system=platform.platform(),
        processor=devices.processor(),
        cores=runtime.cores(),
        memory_bytes=memory.available(),
    )
    return Start(at=now(), host=host)


def place(device: DeviceRecord, kernel: Kernel, processes: int = 1) -> str:
    """Names the device and the software: what two trainings must share to end with the same bits.

    Args:
        processes: That share every step.
    """
    software = f"TensorFlow {versions()['tensorflow']}, sentiment-job {job.__version__}"
    together = f" in {processes} processes" if processes > 1 else ""
    return f"{device.type} ({device.name}, {software}) by {kernel}{together}"


def _tensorflow() -> str:
    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            metadata.version(name)
            return name
        except metadata.PackageNotFoundError:
            continue
    raise MissingInputError(
        "TensorFlow is not installed; run scripts/train.sh, which installs it, or `pip install 'sentiment-job[cpu]'`"
    )


def revision() -> str | None:
    """The git revision: an image's, from the file that its build left, or a checkout's; None elsewhere."""
    folder = Path(__file__).parents[2]
    baked = folder / "REVISION"
    if baked.exists():
        return baked.read_text().strip() or None
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


_OF_FILES = (
    "test_data",
    "validation_data",
    "unlabelled",
    "text_column",
    "label_column",
    "split_column",
    "group_column",
    "id_column",
    "encoding",
)


def command(plan: Plan) -> str:
    """The command that makes this run again: its preset, and what differs from it."""
    preset = PRESETS[plan.preset]
    words = ["sentiment-job train", f"--preset {plan.preset}", f"--data {shlex.quote(plan.data)}"]
    words += [f"{option(name)} {shlex.quote(value)}" for name in _OF_FILES if (value := getattr(plan, name))]
    words += [f"{option(name)} {shlex.quote(label)}" for name in ("positive", "negative") for label in getattr(plan, name)]
    words += ["--no-header"] if plan.no_header else []
    if plan.distances not in (None, list(preset.distances)):
        words += [f"--distance {distance}" for distance in plan.distances or []]
    if plan.seeds != preset.seeds or not preset.remedies:
        words.append(f"--seeds {plan.seeds}")
    if len(plan.hyperparameters) < len(Architecture):
        words += [f"--architecture {name}" for name in plan.hyperparameters]
    if plan.threshold != HALF:
        words.append(f"--threshold {plan.threshold}")
    for name in OPTIONS:
        used = {architecture: getattr(values, name) for architecture, values in plan.hyperparameters.items()}
        changed = {value for architecture, value in used.items() if value != getattr(preset.networks[architecture], name)}
        words += [f"{option(name)} {value}" for value in changed]
    return " ".join(words)
