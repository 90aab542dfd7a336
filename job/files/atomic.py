"""Writing that is whole or not at all: temporary place, flush to the disk, rename. And what to say when it fails."""

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

# Everything unfinished is hidden and ends so; what a kill leaves behind is recognised by it.
_TEMPORARY = ".tmp"
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what the operating system says of a write into the contract's errors.

    Raises:
        OutputError: It may not be written.
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
            raise OutputError(f"{path}: cannot be written by user {os.getuid()} ({reason}); {_mend(path)}") from None
        raise InputOutputError(
            f"{path}: writing failed ({reason}); what was finished before is intact, mend this and run again"
        ) from None


def _mend(path: Path) -> str:
    """What to do about a place that may not be written, named by what is there."""
    place = next((each for each in (path, *path.parents) if each.exists()), Path("/"))
    if not place.is_dir():
        return f"{place} is a file; choose another --output"
    owner, user = place.stat(), os.getuid()
    if owner.st_uid == user:
        return f"`chmod u+rwx {place}`, or choose another --output"
    as_owner = f"run as its owner (in a container: --user {owner.st_uid}:{owner.st_gid}), or " if owner.st_uid else ""
    return f"{as_owner}`chown -R {user}:{os.getgid()} {place}` (of a volume: the folder that is mounted there), or choose another --output"


def temporary(path: Path) -> Path:
    """A name beside `path` for what is not finished."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_TEMPORARY}")


def sweep(folder: Path) -> None:
    """Removes what earlier kills left unfinished in a folder and below. Only for a folder's one writer."""
    for path in sorted(folder.rglob(f".*{_TEMPORARY}")):
        # Temporary files may have no other place than this folder; those are in use.
        if path != Path(tempfile.gettempdir()):
            remove(path)


def remove(path: Path) -> None:
    """Removes a file or a folder where it can be; what stays is only in the way, not wrong."""
    with contextlib.suppress(OSError):
        path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)


def write(path: Path, content: bytes | Iterable[bytes], guard: Callable[[], None] = lambda: None) -> None:
    """Writes a file whole or not at all, and durably. Its folder's parent must exist.

    Args:
        content: The whole of it, or its pieces one after the other.
        guard: Called before anything is written and right before the rename; raises where writing has become wrong.

    Raises:
        OutputError: It may not be written.
        InputOutputError: Writing failed midway, as on a full disk; the file is as it was.
    """
    guard()
    unfinished = temporary(path)
    try:
        with explained(path):
            # Not its parents: a folder that was removed in mid-run must not come back half filled.
            path.parent.mkdir(exist_ok=True)
            with unfinished.open("wb") as stream:
                stream.writelines([content] if isinstance(content, bytes) else content)
        commit(unfinished, path, guard)
    finally:
        remove(unfinished)


def commit(unfinished: Path, path: Path, guard: Callable[[], None] = lambda: None) -> None:
    """Flushes an unfinished file or folder to the disk and renames it to `path`, replacing a file or folder there.

    Raises:
        OutputError, InputOutputError: As `write`.
    """
    with explained(path):
        flush(unfinished)
        guard()
        if path.is_dir():
            # A folder cannot be replaced in one step; the old one goes under a name that is swept.
            old = temporary(path)
            os.replace(path, old)
            os.replace(unfinished, path)
            remove(old)
        else:
            os.replace(unfinished, path)
        _flush(path.parent)


def flush(path: Path) -> None:
    """Makes sure that a file, or a folder with everything in it, is on the disk; raises what the system says."""
    for each in [*path.rglob("*"), path] if path.is_dir() else [path]:
        _flush(each)


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
