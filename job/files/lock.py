"""One writer per folder: a lock file that its holder renews, and that a dead holder does not keep.

The file names host, process and a random token. That a holder on this machine has died is known at once, since the
kernel has released its flock; of one on another machine it is known only because its renewals stop. Renewals are
written into the file itself: a holder that was paused and replaced by a new file goes on renewing the old one, which
harms nobody.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import platform
import stat
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from job.errors import InputOutputError, OutputError
from job.files import atomic

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Always this many bytes, so that a renewal replaces all of the one before.
_SIZE = 512
_NAME = ".lock"
_SETTLE_SECONDS = 1.0
# No link is followed to a file elsewhere, and no FIFO waited for.
_AS_IT_IS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A holder on another machine counts as dead after this long without a renewal.
PATIENCE_SECONDS = 60.0


class WriterLock:
    """The right to write into a folder, as a context manager: acquired on entry, released on exit.

    Args:
        patience: Seconds without a renewal after which a holder on another machine counts as dead.
        renewal: Seconds between renewals.
        name: Of the lock file.
        wait_for_the_living: Whether to wait for as long as the holder lives, because its result is wanted and not its place.
    """

    def __init__(
        self,
        folder: Path,
        patience: float = PATIENCE_SECONDS,
        renewal: float = 5.0,
        name: str = _NAME,
        wait_for_the_living: bool = False,
    ) -> None:
        self._path = folder / name
        self._patience, self._renewal = patience, renewal
        self._limit = float("inf") if wait_for_the_living else patience
        self._token = uuid.uuid4().hex
        self._descriptor: int | None = None
        self._renewals = 0
        self._ended = threading.Event()
        # A check must not read the file while it is being renewed.
        self._busy = threading.Lock()

    def __enter__(self) -> "WriterLock":
        with atomic.explained(self._path):
            self._acquire()
        threading.Thread(target=self._keep_renewing, name="lock", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._busy, contextlib.suppress(OSError, OutputError):
            if self._holder(_read(self._path)).get("token") == self._token:
                self._path.unlink()
        self._let_go()

    def check(self) -> None:
        """Makes sure that this process is still the writer.

        Raises:
            OutputError: Another process took over.
            InputOutputError: The lock file is gone, and so may be the folder.
        """
        with self._busy, atomic.explained(self._path):
            content = _read(self._path)
        if content is None:
            raise InputOutputError(
                f"{self._path.parent}: the folder, or the lock in it, was removed while the job ran; nothing more is written, run again"
            )
        holder = self._holder(content)
        if holder.get("token") != self._token:
            raise OutputError(
                f"{self._path.parent}: {_name(holder)} took over this output while this process was paused; this one writes no more"
            )

    def _acquire(self) -> None:
        started = seen_at = time.monotonic()
        seen: bytes | None = None
        holder: dict[str, Any] = {}
        while not self._create():
            content = _read(self._path)
            if content is None:
                continue
            if self._adopt(content):
                return
            now = time.monotonic()
            # A renewal may be read half written.
            holder = self._holder(content) or holder
            if seen is None:
                time_given = f" up to {self._limit:.0f} s" if self._limit == self._patience else ""
                log.info(
                    f"{self._path.parent} is held by {_name(holder)}; waiting{time_given} for it to end or to show that it is dead"
                )
            if content != seen:
                seen, seen_at = content, now
            # Whoever lives renews within this.
            soon = min(2.5 * self._renewal, self._patience)
            # A file that stays empty was made by one that died before it could say who it was.
            if now - seen_at >= (self._patience if content else soon) and self._replace():
                return
            if now - started >= self._limit and now - seen_at < soon:
                raise OutputError(
                    f"{self._path.parent}: {_name(holder)} is writing here and is alive; wait for it to end, or choose another --output"
                )
            time.sleep(min(0.25, self._renewal / 4))

    def _create(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        self._hold(descriptor)
        return True

    def _adopt(self, content: bytes) -> bool:
        """Takes the lock of a holder that ran on this machine and is provably dead."""
        if self._holder(content).get("boot") != _boot():
            return False
        try:
            descriptor = os.open(self._path, os.O_RDWR | _AS_IT_IS)
        except OSError:
            return False
        if _flock(descriptor) and _is_still(self._path, descriptor):
            self._hold(descriptor)
            return True
        os.close(descriptor)
        return False

    def _replace(self) -> bool:
        """Puts a new lock file in the place of one that is no longer renewed; of several processes that try, one succeeds."""
        unfinished = atomic.temporary(self._path)
        self._hold(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
        os.replace(unfinished, self._path)
        time.sleep(min(_SETTLE_SECONDS, self._patience))
        if self._holder(_read(self._path)).get("token") == self._token:
            return True
        self._let_go()
        return False

    def _hold(self, descriptor: int) -> None:
        _flock(descriptor)
        self._descriptor = descriptor
        self._renew()

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _renew(self) -> None:
        self._renewals += 1
        holder = {
            "host": platform.node()[:100],
            "process": os.getpid(),
            "boot": _boot(),
            "token": self._token,
            "renewals": self._renewals,
        }
        assert self._descriptor is not None
        os.pwrite(self._descriptor, json.dumps(holder).encode().ljust(_SIZE), 0)
        os.fsync(self._descriptor)

    def _keep_renewing(self) -> None:
        while not self._ended.wait(self._renewal):
            with self._busy, contextlib.suppress(OSError):
                # If a renewal fails, the next write finds out and says so.
                if not self._ended.is_set():
                    self._renew()

    @staticmethod
    def _holder(content: bytes | None) -> dict[str, Any]:
        try:
            value = json.loads(content or b"{}")
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def writer(folder: Path) -> str | None:
    """The token of who writes into a folder; None where nobody does, or where that cannot be told just now."""
    try:
        token = WriterLock._holder(_read(folder / _NAME)).get("token")
    except (OSError, OutputError):
        return None
    return token if isinstance(token, str) else None


def _name(holder: dict[str, Any]) -> str:
    return f"process {holder.get('process', '?')} on {holder.get('host', 'an unknown host')}"


def _read(path: Path) -> bytes | None:
    """None where there is no lock; raises `OutputError` where something else than a job's lock is in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _AS_IT_IS)
    except FileNotFoundError:
        return None
    except OSError as error:
        # A link, and a socket.
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _taken(path) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _taken(path)
        return os.read(descriptor, _SIZE)
    finally:
        os.close(descriptor)


def _taken(path: Path) -> OutputError:
    return OutputError(
        f"{path}: expected a lock file that a job wrote, and it is a link, a folder or the like; remove it, or choose another --output"
    )


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Held by another process, or the file system has no locks: then nothing is proven.
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def _boot() -> str:
    """Identifies this machine since its last start; a host name does not, as two containers may share one."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return platform.node()
