"""SIGTERM, SIGINT and SIGHUP end the job with its progress saved, within 10 seconds, in every phase.

The first signal raises `Interrupted`, at once or, while training is deferring it, at the next safe point; what is
unfinished is cleaned up on its way. Python runs its handlers only between instructions, and a long native call may
not come back in time: so a thread of its own, woken by the signal itself, ends the process when the time is over.
A second signal ends it at once, unless it came with the first one. Imports nothing but the standard library, so that
the handlers stand before anything slow is imported.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
# Less than the 10 s that are promised, and than the 10 s after which `docker stop` kills.
GRACE_SECONDS = 8.0
_PARENT_DIED = 1  # PR_SET_PDEATHSIG of prctl(2)
# `timeout` signals its child and then the group, and a terminal that closes may be followed by whoever owned it: within so
# many seconds several signals are one.
_ECHO_SECONDS = 0.25
_AGAIN_SECONDS = 0.02
STOP = signal.SIGUSR1
"""What a worker's own thread sends to its main one, when the parent says that it should stop."""

format_line: Callable[[str], str] = str
"""How `say` writes a line: as it is, unless the log is to be JSON."""
continues = False
"""Whether the same command goes on where this one was."""
standard_error = 2
"""The descriptor that `say` writes to."""
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
    # Once: what is cleaned up after the first one is not to be interrupted. The thread ends the process at a second one.
    if _received is None:
        _received = signal.SIGTERM if number == STOP else signal.Signals(number)
        if not _deferring:
            raise Interrupted(_received)


def _not_raised(event: "sys.UnraisableHookArgs") -> None:
    """Python drops what is raised amid a finalizer or a weak reference's callback: of a signal, it is raised once more."""
    if not isinstance(event.exc_value, Interrupted):
        sys.__unraisablehook__(event)
        return
    number = event.exc_value.number

    def again() -> None:
        global _received
        _received = None
        sent = STOP if signal.getsignal(number) == signal.SIG_IGN else number
        signal.pthread_kill(threading.main_thread().ident or 0, sent)

    # Not here, where it would be dropped as well.
    timer = threading.Timer(_AGAIN_SECONDS, again)
    timer.daemon = True
    timer.start()


def is_pending() -> bool:
    """Whether a signal came, whatever has become of it."""
    return _received is not None


def pending_code() -> int | None:
    """The exit code of the signal that came; None where none did."""
    return None if _received is None else EXIT_CODES[_received]


def outlook() -> str:
    """What happens next, for people."""
    return f"the same command {'continues' if continues else 'begins anew'}"


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
    number = _next(reader, None)
    assert number is not None
    end = time.monotonic() + GRACE_SECONDS
    say(f"{number.name}: {'saving progress and ' if continues else ''}ending; a second signal ends at once")
    time.sleep(min(_ECHO_SECONDS, GRACE_SECONDS))
    while _next(reader, 0) is not None:
        pass
    number = _next(reader, end - time.monotonic()) or number
    say(f"stopped by {number.name} without waiting longer; {'what was saved before is kept, ' if continues else ''}{outlook()}")
    # Not sys.exit: this is not the main thread, and that one is busy.
    os._exit(EXIT_CODES[number])


def _next(reader: int, seconds: float | None) -> signal.Signals | None:
    """The next signal that ends the job, of all that Python hears; None where none came in so many seconds."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not select.select([reader], [], [], left)[0]:
            return None
        number = os.read(reader, 1)[0]
        if number in EXIT_CODES:
            return signal.Signals(number)


def say(text: str) -> None:
    """Prints a line on standard error from any thread, whatever the others are doing; not where that would have to wait for a reader."""
    with contextlib.suppress(OSError, ValueError):
        if select.select([], [standard_error], [], 0)[1]:
            os.write(standard_error, f"{format_line(text)}\n".encode())


def install() -> None:
    """Installs the handlers. Also needed as process 1 of a container, where the kernel's default is to ignore."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="signals", daemon=True).start()
    sys.unraisablehook = _not_raised
    take_back()


def take_back() -> None:
    """Installs the handlers themselves: again, where a library has put its own in their place."""
    for number in EXIT_CODES:
        # Who is started by nohup outlives its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)


def ignore() -> None:
    """From here on no signal is heard: the process has done its work, and ends with the exit code of that."""
    for number in EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)


def end_with_parent() -> None:
    """From here on this process is killed when its parent has died: also where it was stopped, and so could not find out."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)


def install_in_worker() -> None:
    """In a process that works for another one: that one hears the signals, and says when to stop."""
    # Of a terminal they come to all its processes.
    ignore()
    sys.unraisablehook = _not_raised
    signal.signal(STOP, _handle)
