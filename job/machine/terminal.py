"""What is shown to people: nothing in it may steer their terminal, and no terminal is too old to show it."""

import io
import os
import re
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# Control characters, what turns the direction of writing round, line and paragraph separators, and single bytes of a path
# that is no UTF-8 or other halves of a character. Not the joiners that emoji are made with.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BYTE = 0xDC00


def visible(text: str) -> str:
    r"""A text in one line, with the characters that nobody sees written as Python writes them: ESC is `\x1b`."""
    return _UNSEEN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    # Python reads a byte that is no UTF-8 as a half of a character.
    number = number - _BYTE if _BYTE + 0x80 <= number <= _BYTE + 0xFF else number
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def set_up() -> None:
    """Makes the standard streams take every character, loses what nobody hears, and keeps warnings warnings."""
    _open_closed()
    encoding = sys.stderr.encoding
    if sys.stderr is sys.__stderr__:
        raw = io.BufferedWriter(_Lossy(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        # What their encoding lacks is written as in `visible`.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    if any(option.startswith("error") for option in sys.warnoptions):
        # PYTHONWARNINGS=error is for who writes a program. Libraries warn, and a finished training must not end by that: so
        # the filters are those of Python without the option.
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)


def _open_closed() -> None:
    """Opens the standard streams that who started the job has closed: else the next file would be taken for one of them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free. Processes that are started from here need it, too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if number and getattr(sys, name) is None:
            stream = open(number, "w", closefd=False)  # noqa: SIM115 (for the whole process)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


class _Lossy(io.FileIO):
    """Standard error. That nobody hears it any more (a pipe whose reader has ended, a terminal that was closed, a full disk) is no failure of the job."""

    def write(self, content: "ReadableBuffer", /) -> int:
        """Writes it if that is possible, and says that it was."""
        try:
            return super().write(content)
        except OSError:
            return memoryview(content).nbytes
