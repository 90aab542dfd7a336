"""What to say when what a user names cannot be looked at: a folder that may not be entered, a name that is too long."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from job.errors import InputOutputError, MissingInputError

# What is wrong with the name or with who asks; all else went wrong midway.
_NOT_THERE = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}


@contextmanager
def explained(path: Path, expected: str) -> Iterator[None]:
    """Turns the operating system's errors in reading into the contract's.

    Args:
        expected: What was to be found there.

    Raises:
        MissingInputError: The path is not there, or this user may not read it.
        InputOutputError: Reading failed midway.
    """
    try:
        yield
    except OSError as error:
        place, reason = error.filename or path, error.strerror or error
        if error.errno in _NOT_THERE:
            raise MissingInputError(f"{place}: cannot be read ({reason}); expected {expected}") from None
        raise InputOutputError(f"{place}: reading failed ({reason})") from None


def opened(path: Path) -> BufferedReader:
    """Opens a file to be read, and nothing else: a FIFO might never be written to, and a device might have no end.

    Raises:
        OSError: It cannot be opened, or is no file.
    """
    # Once by its name, as opening some devices does something, and once what was opened.
    _require_file(os.stat(path), path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_file(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def content(path: Path) -> bytes:
    """All of a file; raises what `opened` does."""
    with opened(path) as stream:
        return stream.read()


def is_inside(path: Path, folder: Path) -> bool:
    """Whether what a path stands for, all links followed, lies in a folder. `Path.resolve` fails on links that lead to themselves."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def require_files(folder: Path) -> None:
    """Makes sure that a folder holds files and nothing else, for who can read nothing but paths; raises what `opened` does."""
    for path in folder.iterdir():
        _require_file(os.stat(path), path)


def _require_file(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        # As of a folder, which is the commonest of what is no file.
        raise OSError(errno.EISDIR, "Is no regular file", str(path))
