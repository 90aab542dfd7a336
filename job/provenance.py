"""Where a result comes from: versions, source revision, memory used."""

import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from job.errors import MissingInputError


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
    folder = Path(__file__).parents[1]
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
