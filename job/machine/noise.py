"""Keeps off the screen what TensorFlow prints for nothing, and nothing else."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from job.machine import signals

# Lines that TensorFlow prints at every start and that tell a user nothing.
_NOISE = (
    b"All log messages before absl::InitializeLog()",
    b"oneDNN custom operations are on",
    b"oneDNN supports DT_BOOL only on platforms with AVX-512",  # printed on platforms with AVX-512, too
    b"This TensorFlow binary is optimized to use available CPU instructions",
    b"To enable the following instructions",
    b"Unable to register cu",  # the CUDA libraries' factories, registered twice: tensorflow issue 62075
    b"computation placer already registered",
    b"Could not find cuda drivers on your machine",
    b"failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)",
    b"no CUDA-capable device is detected",
)


@contextmanager
def without_noise() -> Iterator[None]:
    """Keeps what native code writes on standard error, and passes on all but the known noise when it is done."""
    sys.stderr.flush()
    try:
        captured = tempfile.TemporaryFile()  # noqa: SIM115 (closed below)
    except OSError:
        # Nowhere to keep it: then the noise is heard.
        yield
        return
    with captured:
        original = signals.standard_error = os.dup(2)
        try:
            os.dup2(captured.fileno(), 2)
            yield
        finally:
            os.dup2(original, 2)
            signals.standard_error = 2
            os.close(original)
            captured.seek(0)
            # That nobody reads it any more is no failure.
            with suppress(OSError):
                for line in captured:
                    if not any(noise in line for noise in _NOISE):
                        os.write(2, line)
