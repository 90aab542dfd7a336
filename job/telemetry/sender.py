"""Sends something to a server from time to time, in a thread of its own: whether the server is there is nothing to training."""

import logging
import threading
from collections.abc import Callable

from job.machine import signals

log = logging.getLogger(__name__)
_PATIENCE_SECONDS, _KILLED_SECONDS = 10.0, 2.0


class Sender:
    """Calls `send` every so many seconds, and once more at the end. What it raises is warned of, once until it works again.

    Args:
        name: Of the server, for people.
        send: May take some seconds; is called by one thread at a time.
        then: What comes of it that it raised, for people.
    """

    def __init__(self, name: str, send: Callable[[], None], seconds: float, then: str = "it goes on, and tries again") -> None:
        self._name, self._send, self._seconds, self._then = name, send, seconds, then
        self._ended, self._is_away = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self, exit_code: int = 0, patience: float | None = None) -> None:
        """Sends for the last time, and waits for that, but not for longer than so many seconds.

        Args:
            patience: Without it, some seconds; where a signal ended the process, which has few left for all, fewer.
        """
        if patience is None:
            patience = _KILLED_SECONDS if exit_code in signals.EXIT_CODES.values() else _PATIENCE_SECONDS
        self._ended.set()
        self._thread.join(patience)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._ended.wait(self._seconds)
            try:
                self._send()
            except Exception as error:  # of libraries, of sockets, of what the server says
                if not self._is_away:
                    text = " ".join(str(error).split())[:200] or type(error).__name__
                    log.warning(f"{self._name}: cannot be told how the run goes ({text}); {self._then}")
                self._is_away = True
            else:
                self._is_away = False
