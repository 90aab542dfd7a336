"""A connection between two processes of a group, on which each says in messages what the other has to know.

A message is a kind, JSON values and arrays: nothing that the other side would run.
"""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

PULSE_SECONDS = 2.0
"""Between two signs of life."""
PATIENCE_SECONDS = 20.0
"""Without a sign of life after which the other one counts as gone."""
_ALIVE = "alive"
# Of a message's JSON and of its arrays; what claims to be larger is none of ours.
_MOST_BYTES = (64 << 20, 8 << 30)
_HEAD = struct.Struct("!4sQQ")
_MARK = b"sj01"


class Message(NamedTuple):
    """What one process says to the other."""

    kind: str
    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


class Line:
    """One end of a connection. Threads of its own listen and show that this process lives.

    Args:
        heard: Takes each message in the listening thread, and None when the other one is gone.
    """

    def __init__(self, connection: socket.socket, heard: Callable[["Line", Message | None], None]) -> None:
        connection.settimeout(PATIENCE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self.heard = heard
        """May be another one from a message on."""
        self._sending = threading.Lock()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begins to listen."""
        for work in (self._listen, self._live):
            threading.Thread(target=work, name="line", daemon=True).start()

    def say(self, kind: str, values: Mapping[str, Any] | None = None, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Sends a message; where the other one is gone, the listening thread finds that out."""
        told = json.dumps({"kind": kind, "values": dict(values or {})}).encode()
        # Arrays of no dimension or no element, too.
        packed = safetensors.numpy.save({name: np.asarray(each, order="C") for name, each in arrays.items()}) if arrays else b""
        with self._sending, contextlib.suppress(OSError):
            self._connection.sendall(_HEAD.pack(_MARK, len(told), len(packed)) + told)
            self._connection.sendall(packed)

    def be_patient(self, seconds: float | None = None) -> None:
        """For how long the other one may be silent from its next sign of life on; None for as long as usual."""
        with contextlib.suppress(OSError):
            self._connection.settimeout(PATIENCE_SECONDS if seconds is None else seconds)

    def close(self) -> None:
        """Ends the connection, when all that was said has been sent."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _live(self) -> None:
        while not self._ended.wait(PULSE_SECONDS):
            self.say(_ALIVE)

    def _listen(self) -> None:
        try:
            while True:
                message = self._receive()
                if message.kind != _ALIVE:
                    self.heard(self, message)
        except (OSError, EOFError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
            self._ended.set()
            self.heard(self, None)

    def _receive(self) -> Message:
        mark, told, packed = _HEAD.unpack(self._read(_HEAD.size))
        if mark != _MARK or told > _MOST_BYTES[0] or packed > _MOST_BYTES[1]:
            raise ValueError("no message of this program")
        values = json.loads(self._read(told))
        return Message(values["kind"], values["values"], safetensors.numpy.load(self._read(packed)) if packed else {})

    def _read(self, count: int) -> bytes:
        """So many bytes; raises `TimeoutError`, an OSError, where the other one is silent for too long."""
        pieces = bytearray()
        while len(pieces) < count:
            piece = self._connection.recv(min(1 << 20, count - len(pieces)))
            if not piece:
                raise EOFError
            pieces += piece
        return bytes(pieces)


def connect(address: tuple[str, int], end: float) -> socket.socket | None:
    """A connection to who listens at (host, port), who may still have to begin to; None where he has not by the time `end`."""
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            return socket.create_connection(address, timeout=5.0)
        time.sleep(0.2)
    return None
