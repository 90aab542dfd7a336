"""The processes of a group as they find each other, agree on what to do, and notice when one of them is gone.

What they compute together goes another way (job/training/group.py). None of it is of use without all of them: so when one
is gone, every other one ends, and the group is started again.
"""

import contextlib
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from numpy.typing import NDArray

from job.errors import ConfigurationError, JobError, TemporaryError
from job.machine import signals
from job.peers import Peers
from job.training.line import Line, Message, connect

WAIT_SECONDS = 600.0
"""How long those who are there wait for the others."""
# After a loss, until a computation that waits for the lost one has failed by itself.
_SETTLE_SECONDS = 5.0
# After a computation has failed, until the chief has said whom it missed: it hears of a loss at once, but may be busy.
_HEARSAY_SECONDS = 20.0
_Values = Mapping[str, Any]
_Made = TypeVar("_Made")


class _Crew:
    """What chief and follower have in common.

    Args:
        release: Gives back what this process holds, before it ends in the middle of a computation.
    """

    def __init__(self, peers: Peers, release: Callable[[], None]) -> None:
        self.peers = peers
        self._release, self._loss = release, threading.Event()
        self._lost: JobError = TemporaryError("")
        self.is_ending = False
        """Whether all know that they end, so that nobody is missed."""

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what computing together fails with when a process is gone into what is to be said of it.

        Raises:
            JobError: One is gone, or failed.
            Interrupted: A signal came.
        """
        try:
            yield
        except JobError:
            raise
        except Exception as error:
            signals.raise_pending()
            if not type(error).__module__.startswith("tensorflow") or not self._loss.wait(_HEARSAY_SECONDS):
                raise
            self.is_ending = True
            raise self._lost from None

    def _lose(self, index: int, failure: Message | None = None) -> None:
        """Ends this process, if it does not end by itself.

        Args:
            failure: What the lost one failed with, where it had the time to say so.
        """
        if self.is_ending or self._loss.is_set():
            return
        what, code = "is gone; what was saved is kept: start the whole group again, it continues", TemporaryError.exit_code
        if failure:
            what, code = failure.values["text"], failure.values["code"]
        self._fail(FailedElsewhereError(f"{self.peers.name(index)}{':' if failure else ''} {what}", code))

    def _fail(self, lost: JobError) -> None:
        self._lost = lost
        self._loss.set()
        time.sleep(_SETTLE_SECONDS)
        if not self.is_ending:
            # The main thread is in a computation that waits for who is gone.
            signals.say(f"error: {self._lost}")
            self._release()
            os._exit(signals.pending_code() or self._lost.exit_code)

    def _stop(self) -> None:
        """Another one was told to end."""
        if not self.is_ending and not signals.is_pending():
            os.kill(os.getpid(), signal.SIGTERM)


class Chief(_Crew):
    """The first process of a group, which says what is done.

    Args:
        said: What the others must agree with: settings, versions, kind of device.
    """

    def __init__(self, peers: Peers, said: _Values, release: Callable[[], None]) -> None:
        super().__init__(peers, release)
        self._said, self._lines, self._all_know = dict(said), dict[int, Line](), False
        self._heard: queue.SimpleQueue[tuple[int, Message | None]] = queue.SimpleQueue()
        host, port = peers.control
        try:
            self._listener = _listening(port, len(peers.hosts))
        except OSError as error:
            raise TemporaryError(
                f"port {port}: cannot be listened on ({error.strerror}); it is the one after {host}'s in --hosts"
            ) from None
        threading.Thread(target=self._accept, name="chief", daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                Line(connection, self._first).start()

    def _first(self, line: Line, message: Message | None) -> None:
        """Until a process has said which one it is."""
        if message is None or message.kind != "hello":
            line.close()
            return
        index = int(message.values["index"])
        if self._lines.setdefault(index, line) is not line:
            line.say("end", {"code": ConfigurationError.exit_code, "text": f"--worker {index}/…: there is one already"})
            return
        line.heard = lambda line, message: self._hear(index, message)
        self._heard.put((index, message))

    def _hear(self, index: int, message: Message | None) -> None:
        if message is None:
            self._lose(index) if self._all_know else self._heard.put((index, None))
        elif message.kind == "stop":
            self._stop()
        elif message.kind == "failed" and self._all_know:
            self._lose(index, message)
        else:
            self._heard.put((index, message))

    def gather(self, told: _Values, limit: float = WAIT_SECONDS) -> None:
        """Waits until all are there, and have prepared what they need.

        Args:
            told: What they need to know for that.

        Raises:
            TemporaryError: Some have not come by the limit.
            JobError: What one of them fails with; that it differs, if it does.
        """
        end = time.monotonic() + limit
        for index, message in self._each("hello", end, "did not come"):
            for name, value in self._said.items():
                if (other := message.values["said"].get(name)) != value:
                    raise ConfigurationError(
                        f"{self.peers.name(index)} has {name} {other}, this process {value}; all of a group are started alike"
                    )
        self.tell("welcome", told)
        for _ in self._each("ready", end, "was not ready"):
            pass
        self._all_know = True

    def dismiss(self, limit: float = 30.0) -> None:
        """Where there is nothing to do: lets those end that come by the limit; others need not."""
        with contextlib.suppress(TemporaryError):
            for _ in self._each("hello", time.monotonic() + limit, "did not come"):
                pass
        self.end(None)

    def _each(self, kind: str, end: float, what: str) -> Iterator[tuple[int, Message]]:
        missing = set(range(1, len(self.peers.hosts)))
        while missing:
            try:
                index, message = self._heard.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                names = ", ".join(map(self.peers.name, sorted(missing)))
                raise TemporaryError(
                    f"{names} {what} within {WAIT_SECONDS:.0f} s; start all of the group, then it continues"
                ) from None
            if message is None:
                raise TemporaryError(f"{self.peers.name(index)} is gone before the beginning; start the whole group again")
            if message.kind == "failed":
                raise FailedElsewhereError(f"{self.peers.name(index)}: {message.values['text']}", message.values["code"])
            if message.kind == kind and index in missing:
                missing.remove(index)
                yield index, message

    def tell(self, kind: str, values: _Values | None = None, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Says something to all others."""
        for line in list(self._lines.values()):
            line.say(kind, values, arrays)

    def start(self, make: Callable[[], _Made]) -> _Made:
        """Makes the group, as all others do when they are told.

        Where TensorFlow waits for those who come later, it lets no other thread of a process run. So nobody shows signs of
        life then, and the latest may take a while on a busy machine.
        """
        for line in self._lines.values():
            line.be_patient(WAIT_SECONDS)
        self.tell("start")
        made = make()
        for line in self._lines.values():
            line.be_patient()
        return made

    def end(self, error: BaseException | None) -> None:
        """Lets the others end as this process does."""
        self.is_ending = True
        if error is not None and signals.is_pending():
            self.tell("stop")
        elif error is None:
            self.tell("end", {"code": 0, "text": ""})
        else:
            code = error.exit_code if isinstance(error, JobError) else TemporaryError.exit_code
            self.tell("end", {"code": code, "text": f"{self.peers.name(0)}: {error}"})
        with contextlib.suppress(OSError):
            # Closing it alone would not end the waiting for the next one.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _listening(port: int, backlog: int) -> socket.socket:
    """On all addresses, since a host's name may stand for any of them; of both kinds where the system has both."""
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=backlog)


class Follower(_Crew):
    """Any other process of a group: it does what the chief says.

    Args:
        said: As in `Chief`.
    """

    def __init__(
        self, peers: Peers, said: _Values, release: Callable[[], None] = lambda: None, limit: float = WAIT_SECONDS
    ) -> None:
        super().__init__(peers, release)
        self._heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        connection = connect(peers.control, time.monotonic() + limit)
        if connection is None:
            raise TemporaryError(
                f"{peers.name(0)} did not come within {limit:.0f} s; start all of the group, then it continues"
            )
        self._line = Line(connection, self._hear)
        self._line.start()
        self._line.say("hello", {"index": peers.index, "said": dict(said)})

    def _hear(self, line: Line, message: Message | None) -> None:
        if message is None:
            self._lose(0)
        elif message.kind == "stop":
            self._stop()
        else:
            if message.kind == "end":
                self.is_ending |= not message.values["code"]
            elif message.kind in ("start", "train", "judge"):
                # See `Chief.start`: the next thing that it says is what to compute.
                line.be_patient(WAIT_SECONDS if message.kind == "start" else None)
            self._heard.put(message)
            if message.kind == "end" and not self.is_ending:
                # The main thread may be computing with who is gone.
                self._fail(FailedElsewhereError(message.values["text"], message.values["code"]))

    def next(self) -> Message:
        """What the chief says next.

        Raises:
            JobError: The chief ended with an error.
            TemporaryError: It is gone.
        """
        while True:
            with contextlib.suppress(queue.Empty):
                message = self._heard.get(timeout=0.5)
                if message.kind == "end" and message.values["code"]:
                    self.is_ending = True
                    raise FailedElsewhereError(message.values["text"], message.values["code"])
                return message
            if self._loss.is_set():
                self.is_ending = True
                raise self._lost

    def say(self, kind: str, values: _Values | None = None) -> None:
        """Says something to the chief."""
        self._line.say(kind, values)

    def end(self, error: BaseException | None) -> None:
        """Lets the chief know why this process ends, if it is not by its word."""
        was_known, self.is_ending = self.is_ending, True
        if error is not None and signals.is_pending():
            self.say("stop")
        elif error is not None and not was_known:
            self.say("failed", {"code": getattr(error, "exit_code", TemporaryError.exit_code), "text": str(error)})


class FailedElsewhereError(JobError):
    """What another process of the group ended with."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.exit_code = code
