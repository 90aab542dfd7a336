"""What to say when what a user names cannot be looked at: a folder that may not be entered, a name that is too long."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
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
