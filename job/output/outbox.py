"""What a server that keeps track of a run is still to be told: kept in the output folder, whatever is killed meanwhile.

The journal is only appended to, a line an item. Beside it, replaced as a whole, lies how far it has been delivered and
to which of the server's runs. Neither is among the files that a finished run is verified by: what is delivered late changes them.
"""

import json
import os
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Literal

import pydantic

from job.errors import OutputError
from job.files import atomic, lock, reading
from job.records.base import Count, Record

STATE, JOURNAL = "mlflow.json", "mlflow.jsonl"
FILES = (STATE, JOURNAL)


class Item(Record):
    """One thing to tell."""

    kind: Literal["param", "tag", "metric", "files", "status"]
    """`files`: that the run's files are there to be sent, and which model of them, `value`; `status`: of the run."""
    key: str = ""
    value: float | str
    step: Count = 0
    """Of a metric."""
    time: Count = 0
    """When it came about, Unix milliseconds."""


class State(Record):
    """The content of mlflow.json."""

    key: str
    """By which a run of ours is found on the server: so none is made twice if the answer to making it was lost."""
    server: str | None = None
    """Which it was, without passwords."""
    run_id: str | None = None
    delivered: Count = 0
    """Bytes of the journal."""


class Outbox:
    """Items come in from one thread, and are delivered by another one.

    Nothing is kept twice: a metric is the first that came for its step, a parameter the first that came at all; of a tag
    and the rest, the last one counts, and is kept where it differs from the one before.

    Raises:
        OSError: The files cannot be read.
        OutputError: They are none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._writer = folder, lock.writer(folder)
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, int], float | str] = {}
        self._items: list[tuple[int, Item]] = []
        content = _read(folder / JOURNAL)
        end = 0
        for line in content.splitlines(keepends=True):
            end += len(line)
            if (item := _parse(line)) is not None:
                self._items.append((end, item))
                self._known[_place(item)] = item.value
        self._is_torn = bool(content) and not content.endswith(b"\n")
        state = _state(_read(folder / STATE))
        # A journal that lost its end with the machine's power is delivered from there on.
        self.state = state.but(delivered=min(state.delivered, end))

    def new(self, items: Iterable[Item]) -> list[Item]:
        """Those of the items that are not kept yet."""
        known, found = dict(self._known), []
        for item in items:
            place = _place(item)
            if place not in known or (item.kind not in ("metric", "param") and known[place] != item.value):
                known[place] = item.value
                found.append(item)
        return found

    def add(self, items: Iterable[Item]) -> None:
        """Keeps what is new of the items.

        Raises:
            OutputError, InputOutputError: They cannot be written, or it is another process's turn to do so.
        """
        with self._lock:
            new = self.new(items)
            if not new:
                return
            self._guard()
            lines = [json.dumps(item.to_values(), separators=(",", ":")).encode() + b"\n" for item in new]
            # What a kill, or a full disk, left of a line ends here, and is no item.
            before = b"\n" if self._is_torn else b""
            with atomic.explained(self.folder / JOURNAL):
                self._is_torn = True
                # Not flushed to the disk: that a machine loses its power costs the server some figures, and the run nothing.
                with _appended(self.folder / JOURNAL) as stream:
                    end = stream.tell() + len(before)
                    stream.write(before + b"".join(lines))
                self._is_torn = False
            for line, item in zip(lines, new, strict=True):
                end += len(line)
                self._items.append((end, item))
                self._known[_place(item)] = item.value

    def pending(self) -> tuple[list[Item], int]:
        """What is not delivered yet, in order, and where the journal ends with it."""
        with self._lock:
            items = [item for end, item in self._items if end > self.state.delivered]
            return items, self._items[-1][0] if self._items else 0

    def keep(self, state: State) -> None:
        """Replaces mlflow.json.

        Raises:
            OutputError, InputOutputError: It cannot be written, or it is another process's turn to do so.
        """
        if state != self.state or not (self.folder / STATE).exists():
            self._guard()
            atomic.write(self.folder / STATE, state.to_json())
            self.state = state

    def _guard(self) -> None:
        """Who was paused, and replaced as the folder's writer, must not write between its lines."""
        now = lock.writer(self.folder)
        # In the end, when the lock is given back, there is still something to tell.
        if now not in (None, self._writer):
            raise OutputError(f"{self.folder / JOURNAL}: another process writes here now; this one writes no more")


def _place(item: Item) -> tuple[str, str, int]:
    return item.kind, item.key, item.step


def _parse(line: bytes) -> Item | None:
    """None where a kill left no whole item, or something else wrote here."""
    try:
        return Item.parse(line)
    except pydantic.ValidationError:
        return None


def _state(content: bytes) -> State:
    try:
        return State.parse(content)
    except pydantic.ValidationError:
        return State(key=uuid.uuid4().hex)


def _read(path: Path) -> bytes:
    """Nothing of what is not there; raises `OutputError` where it is no file."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        # What is told would be written elsewhere, or read by nobody.
        raise OutputError(f"{path}: expected a file, or nothing; remove what is there, or choose another --output")
    try:
        return reading.content(path)
    except FileNotFoundError:
        return b""


def _appended(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666), "ab")
