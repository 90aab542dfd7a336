"""A worker as its parent sees it: a process, and what is said to it and heard of it."""

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any


class Worker:
    """A worker as its parent sees it. Threads of its own send and receive, so that one that is stuck holds nobody up.

    Args:
        heard: Takes what it says, and None when it is dead.
    """

    def __init__(self, process: Any, connection: Connection, slot: int, heard: "queue.SimpleQueue[Heard]") -> None:
        self.process, self.slot = process, slot
        self.item: int | None = None
        """The number of what it does."""
        self.silent = 0.0
        """Seconds in which it could have been heard and was not."""
        self.is_stuck = False
        self.kills_before = 0
        """For want of memory, on this machine, before it began what it does."""
        self._connection, self._heard = connection, heard
        self._letters: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        for each in (self._receive, self._send):
            threading.Thread(target=each, name="worker", daemon=True).start()

    def tell(self, kind: str, value: Any) -> None:
        """Sends it something, and does not wait for it to be received."""
        self._letters.put((kind, value))

    def end(self, patience: float = 0.0) -> int | None:
        """Makes sure that it is dead, by force when so many seconds have passed; the exit code."""
        self.process.join(patience)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self._letters.put(("", None))
        code: int | None = self.process.exitcode
        return code

    def _receive(self) -> None:
        try:
            while True:
                self._heard.put((self, self._connection.recv()))
        except (EOFError, OSError):
            self._heard.put((self, None))

    def _send(self) -> None:
        with suppress(OSError):
            while (letter := self._letters.get())[0]:
                self._connection.send(letter)


Heard = tuple[Worker, tuple[Any, ...] | None]


@contextmanager
def unknown_program() -> Iterator[None]:
    """Within it, no worker learns what program was started here, to run it again as Python would have it."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program
