"""Packed files, unpacked as streams: .gz and .zst. What unpacks to far more than such data can is refused on the way."""

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from job.errors import DataError

MAX_RATIO = 100
"""How many times its packed size data may have when they are unpacked: text is packed to a tenth, hardly ever to a fiftieth."""
ALWAYS = 256 << 20
"""Bytes that may come out of any packed file, however small it is."""


def check_size(where: object, unpacked: int, packed: int) -> None:
    """Makes sure that data are none that were made to fill a memory or a disk.

    Args:
        where: The file, for messages.
        unpacked: Bytes, so far or as the file says.
        packed: Bytes that these came out of.

    Raises:
        DataError: They are.
    """
    if unpacked > max(ALWAYS, MAX_RATIO * packed):
        raise DataError(
            f"{where}: unpacks to more than {MAX_RATIO} times its size ({packed} bytes), which no data of texts do; if it is meant, unpack it first"
        )


class _Bounded(io.RawIOBase):
    """The bytes of a stream that unpacks a file, as long as they are not too many."""

    def __init__(self, path: Path, stream: Any) -> None:
        self._path, self._stream = path, stream
        self._packed, self._unpacked = path.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        self._unpacked += len(block)
        check_size(self._path, self._unpacked, self._packed)
        buffer[: len(block)] = block
        return len(block)


@contextmanager
def unpacked(path: Path) -> Iterator[Any]:
    """The bytes of a file, unpacked where its ending says that it is packed.

    Raises:
        DataError: In reading: it unpacks to far more than its size.
        OSError, EOFError, zlib.error: In reading: it is damaged, or cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in (".gz", ".tgz"):
        with gzip.open(path) as packed, io.BufferedReader(_Bounded(path, packed), 1 << 17) as stream:
            yield stream
    elif suffix == ".zst":
        import pyarrow

        with (
            path.open("rb") as file,
            pyarrow.CompressedInputStream(file, "zstd") as packed,
            io.BufferedReader(_Bounded(path, packed), 1 << 17) as stream,
        ):
            yield stream
    else:
        with path.open("rb", 1 << 17) as stream:
            yield stream
