"""Writes that happen whole or not at all: to a temporary name, flushed to the disk, renamed. And what to say when one fails."""

import contextlib
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job.errors import InputOutputError, OutputError

# Every unfinished file is hidden and ends like this, so that what a kill leaves behind is recognised.
_TEMPORARY = ".tmp"
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the operating system's errors in writing into the contract's.

    Raises:
        OutputError: The path may not be written.
        InputOutputError: Writing failed midway.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EROFS:
            raise OutputError(
                f"{path}: cannot be written, its file system is read-only; mount it writable, or choose another --output"
            ) from None
        if error.errno in _FORBIDDEN:
            raise OutputError(f"{path}: cannot be written by user {os.getuid()} ({reason}); {_fix(path)}") from None
        raise InputOutputError(
            f"{path}: writing failed ({reason}); what was finished before is intact, fix this and run again"
        ) from None


def _fix(path: Path) -> str:
    """What to do about a path that may not be written: names the file or folder that is in the way, and its owner."""
    place = next((parent for parent in (path, *path.parents) if os.path.exists(parent)), Path("/"))
    if not place.is_dir():
        return f"{place} is a file; choose another --output"
    owner, user = place.stat(), os.getuid()
    if owner.st_uid == user:
        return f"`chmod u+rwx {place}`, or choose another --output"
    as_owner = f"run as its owner (in a container: --user {owner.st_uid}:{owner.st_gid}), or " if owner.st_uid else ""
    return f"{as_owner}`chown -R {user}:{os.getgid()} {place}` (on a volume: the folder that is mounted there), or choose another --output"


def temporary(path: Path) -> Path:
    """A name beside `path` for a file or folder that is not finished."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_TEMPORARY}")


def sweep(folder: Path) -> None:
    """Removes the unfinished files that earlier kills left in a folder and below. Only for the folder's one writer."""
    for path in sorted(folder.rglob(f".*{_TEMPORARY}")):
        # Where nothing else is writable, the folder for temporary files lies in here, and is in use.
        if path != Path(tempfile.gettempdir()):
            remove(path)


def remove(path: Path) -> None:
    """Removes a folder, or whatever else is there, if it can; one that stays is in the way, but does no harm."""
    with contextlib.suppress(OSError):
        # Of a FIFO, `rmtree` would wait for who writes to it.
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def write(path: Path, content: bytes | Iterable[bytes], guard: Callable[[], None] = lambda: None) -> None:
    """Writes a file whole or not at all, and durably. Its folder's parent must exist.

    Args:
        content: The whole of it, or its pieces one after the other.
        guard: Called before anything is written and right before the rename; raises if this process may no longer write.

    Raises:
        OutputError: The file may not be written.
        InputOutputError: Writing failed midway, as on a full disk; the file is as it was before.
    """
    guard()
    unfinished = temporary(path)
    try:
        with explained(path):
            # Not the folder's parents: a folder that was removed in mid-run must not come back half filled.
            path.parent.mkdir(exist_ok=True)
            with unfinished.open("wb") as stream:
                stream.writelines([content] if isinstance(content, bytes) else content)
        commit(unfinished, path, guard)
    finally:
        remove(unfinished)


def commit(unfinished: Path, path: Path, guard: Callable[[], None] = lambda: None) -> None:
    """Flushes an unfinished file or folder to the disk and renames it to `path`, replacing a file or folder there.

    Raises:
        OutputError, InputOutputError: As in `write`.
    """
    with explained(path):
        flush(unfinished)
        guard()
        if path.is_dir():
            # A folder cannot be replaced in one step; the old one gets a name that is swept.
            old = temporary(path)
            os.replace(path, old)
            os.replace(unfinished, path)
            remove(old)
        else:
            os.replace(unfinished, path)
        _flush(path.parent)


def flush(path: Path) -> None:
    """Makes sure that a file, or a folder with everything in it, is on the disk; raises `OSError` if it cannot be."""
    for place in [*path.rglob("*"), path] if path.is_dir() else [path]:
        _flush(place)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot flush a folder.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
