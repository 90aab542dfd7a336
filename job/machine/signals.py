"""SIGTERM and SIGINT end the job with its progress saved, within 10 seconds, in every phase.

The first signal raises `Interrupted`, at once or, while training is deferring it, at the next safe point; what is
unfinished is cleaned up on its way. Python runs its handlers only between instructions, and a long native call may
not come back in time: so a thread of its own, woken by the signal itself, ends the process when the time is over.
A second signal ends it at once. Imports nothing but the standard library, so that the handlers stand before anything
slow is imported.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
# Less than the 10 s that are promised, and than the 10 s after which `docker stop` kills.
GRACE_SECONDS = 8.0
STOP = signal.SIGUSR1
"""What a worker's own thread sends to its main one, when the parent says that it should stop."""

format_line: Callable[[str], str] = str
"""How `say` writes a line: as it is, unless the log is to be JSON."""
_received: signal.Signals | None = None
_deferring = False


class Interrupted(BaseException):
    """A signal asked the job to stop. Not an Exception, so that nothing takes it for a failure and goes on."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number
        self.exit_code = EXIT_CODES[number]


def _handle(number: int, frame: FrameType | None) -> None:
    global _received
    _received = signal.Signals(number)
    if not _deferring:
        raise Interrupted(_received)


def _handle_stop(number: int, frame: FrameType | None) -> None:
    _handle(signal.SIGTERM, frame)


def is_pending() -> bool:
    """Whether a signal came, whatever has become of it."""
    return _received is not None


def pending_code() -> int | None:
    """The exit code of the signal that came; None where none did."""
    return None if _received is None else EXIT_CODES[_received]


def raise_pending() -> None:
    """Raises the signal that came while it was deferred, if one did."""
    if _received is not None:
        raise Interrupted(_received)


@contextmanager
def deferred() -> Iterator[None]:
    """Within it a signal waits for the next `raise_pending`, or for the end."""
    global _deferring
    _deferring = True
    try:
        yield
    finally:
        _deferring = False
    raise_pending()


def _watch(reader: int) -> None:
    number = _next(reader)
    say(f"{number.name}: saving progress and ending; a second signal ends at once")
    ready, _, _ = select.select([reader], [], [], GRACE_SECONDS)
    if ready:
        number = _next(reader)
    say(f"stopped by {number.name} without waiting longer; what was saved before is kept, the same command continues")
    # Not sys.exit: this is not the main thread, and that one is busy.
    os._exit(EXIT_CODES[number])


def _next(reader: int) -> signal.Signals:
    return signal.Signals(os.read(reader, 1)[0])


def say(text: str) -> None:
    """Prints a line on standard error from any thread, whatever the others are doing."""
    with contextlib.suppress(OSError):
        os.write(2, f"{format_line(text)}\n".encode())


def install() -> None:
    """Installs the handlers. Also needed as process 1 of a container, where the kernel's default is to ignore."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="signals", daemon=True).start()
    take_back()


def take_back() -> None:
    """Installs the handlers themselves: again, where a library has put its own in their place."""
    for number in EXIT_CODES:
        signal.signal(number, _handle)


def install_in_worker() -> None:
    """In a process that works for another one: that one hears the signals, and says when to stop."""
    for number in EXIT_CODES:
        # Of a terminal they come to all its processes.
        signal.signal(number, signal.SIG_IGN)
    signal.signal(STOP, _handle_stop)
