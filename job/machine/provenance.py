"""Where a result comes from: versions, source revision, memory used, and the command that makes it again."""

import platform
import resource
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from job.config import DEFAULT_DISTANCES, DEFAULT_SEEDS
from job.errors import MissingInputError
from job.presets import PRESETS, Architecture, PresetName


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


def command(configuration: dict[str, Any]) -> str:
    """The command that makes this run again: its preset, and what differs from it."""
    values = {Architecture(name): each for name, each in configuration["hyperparameters"].items()}
    words = ["sentiment-job train", f"--preset {configuration['preset']}", f"--data {configuration['data']}"]
    words += [
        f"--{key.replace('_', '-')} {configuration[key]}" for key in ("text_column", "label_column") if configuration[key]
    ]
    preset = PresetName(configuration["preset"])
    if configuration["distances"] not in (None, list(DEFAULT_DISTANCES[preset])):
        words += [f"--distance {distance}" for distance in configuration["distances"]]
    if configuration["seeds"] != DEFAULT_SEEDS[preset] or preset is not PresetName.dependency:
        words.append(f"--seeds {configuration['seeds']}")
    if len(values) < len(Architecture):
        words += [f"--architecture {name}" for name in values]
    for key in ("epochs", "batch_size", "units", "vocabulary_size", "max_tokens", "learning_rate"):
        changed = {each[key] for name, each in values.items() if each[key] != asdict(PRESETS[preset][name])[key]}
        words += [f"--{key.replace('_', '-')} {value}" for value in changed]
    return " ".join(words)
