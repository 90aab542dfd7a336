"""SIGTERM and SIGINT end the process with the exit code of the contract, from the first line on.

Imports nothing but the standard library, so that the handlers stand before anything slow is imported.
"""

import os
import signal
import sys
from types import FrameType

EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def _stop(number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    try:
        os.write(2, f"\nstopped by {name}; results of finished runs are kept, the same command continues\n".encode())
        sys.stdout.flush()
    finally:
        # Not sys.exit: an exception could be swallowed on its way up, and TensorFlow's threads may block a clean exit.
        os._exit(EXIT_CODES[signal.Signals(number)])


def install() -> None:
    """Installs the handlers. Also needed as process 1 of a container, where the kernel's default is to ignore."""
    for number in EXIT_CODES:
        signal.signal(number, _stop)
