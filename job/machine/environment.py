"""What libraries read from their surroundings, set before they are imported.

So that nothing in a user's home changes a result, and that what libraries write goes where it may: also as an unknown
user, on a read-only root.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from job.errors import ConfigurationError, OutputError
from job.files import atomic

_COMPILE = "import tensorflow as tf; tf.function(lambda: tf.constant(1.0) + 1.0, jit_compile=True)()"
# Memory that looks like a folder; in containers it can be written when nothing else can.
_SHARED_MEMORY = Path("/dev/shm")


@contextmanager
def prepared(output: Path | None, cache: Path | None) -> Iterator[Path | None]:
    """Sets the surroundings up, and cleans up what libraries left there. Gives a folder for what is needed until then, if there is one.

    Args:
        output: Where temporary files go if the system has no place for them.
        cache: Where compiled GPU code is kept if the user has no home.

    Raises:
        OutputError: There is no place for temporary files.
        ConfigurationError: XLA_FLAGS holds what XLA does not know.
    """
    # A user's own choice of these would be another program.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with contextlib.ExitStack() as stack:
        try:
            temporary = Path(tempfile.gettempdir())
        except FileNotFoundError:
            temporary = stack.enter_context(_folder_of_ours([output, _SHARED_MEMORY] if output else [_SHARED_MEMORY]))
            os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        ours: Path | None = None
        with contextlib.suppress(OSError):
            # Keras reads keras.json there, in which a user may have chosen another precision.
            os.environ["KERAS_HOME"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="keras-"))
            # And Matplotlib there matplotlibrc and a cache of fonts.
            os.environ["MPLCONFIGDIR"] = os.environ["KERAS_HOME"]
            ours = Path(os.environ["KERAS_HOME"])
        if not os.access(os.path.expanduser("~"), os.W_OK):
            os.environ["HOME"] = str(temporary)
            kept = cache if cache and os.access(cache, os.W_OK) else temporary
            os.environ.setdefault("CUDA_CACHE_PATH", str(kept / "cuda"))
        _require_known_flags()
        yield ours


def _require_known_flags() -> None:
    """XLA ends a process that has flags it does not know, at once and with 1; so, where there are any, they are tried in another one."""
    if not os.environ.get("XLA_FLAGS"):
        return
    hidden = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", _COMPILE], env=os.environ | hidden, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    unknown = re.search(r"Unknown flags? in XLA_FLAGS: *(.+)", done.stderr)
    if done.returncode and unknown:
        raise ConfigurationError(f"XLA_FLAGS: XLA does not know {unknown[1].strip()}; correct it, or leave it out")


@contextmanager
def _folder_of_ours(places: list[Path]) -> Iterator[Path]:
    for place in places:
        # Of the kind that the output's next writer sweeps.
        made = atomic.temporary(place / "temporary")
        try:
            made.mkdir()
        except OSError:
            continue
        try:
            yield made
        finally:
            atomic.remove(made)
        return
    raise OutputError(
        "no place for temporary files: neither /tmp nor the output nor /dev/shm can be written; name a writable folder in TMPDIR"
    )
