"""The processes of a group find each other, agree, and notice when one is gone."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from job.errors import ConfigurationError, TemporaryError
from job.peers import Peers, free_hosts
from job.training import crew, line
from job.training.crew import Chief, FailedElsewhereError, Follower
from job.training.line import Line, Message


@pytest.fixture(autouse=True)
def _nobody_is_missed_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Who is left over from a test would end the process of the tests when it misses somebody."""
    made: list[crew._Crew] = []
    real = crew._Crew.__init__

    def remember(self: crew._Crew, *arguments: Any) -> None:
        made.append(self)
        real(self, *arguments)

    monkeypatch.setattr(crew._Crew, "__init__", remember)
    yield
    for each in made:
        each.is_ending = True


@pytest.fixture
def peers() -> tuple[Peers, ...]:
    hosts = (*free_hosts(1), "127.0.0.1:7", "127.0.0.1:8")
    return tuple(Peers(index, hosts) for index in range(3))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, list[Message | None], Line]]:
    ours, theirs = _connected()
    heard: list[Message | None] = []
    one = Line(theirs, lambda _, message: heard.append(message))
    one.start()
    with closing(ours):
        yield ours, heard, one
        one.close()


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return ours, theirs


def until(true: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


ANY = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5), lambda each: st.lists(each, max_size=3))  # fmt: skip
ARRAYS = st.dictionaries(
    st.sampled_from(["weights-000", "optimizer-001", "é"]),
    arrays.arrays(st.sampled_from([np.float32, np.float16, np.int64, np.uint8]), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), elements=st.integers(0, 9)),
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=4), ANY, max_size=3), ARRAYS)
def test_what_is_said_is_heard(values: dict[str, Any], told: dict[str, Any]) -> None:
    ours, theirs = _connected()
    heard: list[Message | None] = []
    one, other = Line(ours, lambda *_: None), Line(theirs, lambda _, message: heard.append(message))
    other.start()
    one.say("state", values, told)
    one.say("end")
    until(lambda: len(heard) == 2)
    assert heard[0] is not None
    assert (heard[0].kind, heard[0].values, sorted(heard[0].arrays)) == ("state", values, sorted(told))
    for name, array in told.items():
        assert (heard[0].arrays[name].dtype, heard[0].arrays[name].shape) == (array.dtype, array.shape)
        assert heard[0].arrays[name].tobytes() == array.tobytes()
    assert heard[1] == Message("end", {}, {})
    one.close()
    until(lambda: len(heard) == 3)
    assert heard[2] is None
    other.close()


@pytest.mark.parametrize("content", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b" " * 40, b"sj01" + b"\xff" * 16, b"sj01" + bytes(7) + b"\x02" + bytes(8) + b"[]", b"short"])  # fmt: skip
def test_what_is_no_message_ends_the_connection(pair: tuple[socket.socket, list[Message | None], Line], content: bytes) -> None:
    ours, heard, _ = pair
    ours.sendall(content)
    ours.shutdown(socket.SHUT_WR)
    until(lambda: heard)
    assert heard == [None]


def test_who_is_silent_counts_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "PATIENCE_SECONDS", 0.3)
    ours, theirs = _connected()
    heard: list[Message | None] = []
    one = Line(theirs, lambda _, message: heard.append(message))
    one.start()
    until(lambda: heard, 5)
    assert heard == [None]
    one.close()
    ours.close()


def started(peers: tuple[Peers, ...], said: list[dict[str, Any]]) -> tuple[Chief, list[Follower]]:
    chief = Chief(peers[0], said[0], lambda: None)
    return chief, [Follower(each, its, limit=5) for each, its in zip(peers[1:], said[1:], strict=True)]


def test_all_are_waited_for_and_told_what_to_do(peers: tuple[Peers, ...]) -> None:
    chief, followers = started(peers, [{"settings": "a"}] * 3)

    def follow(each: Follower) -> None:
        assert each.next() == Message("welcome", {"data": "hash"}, {})
        each.say("ready")

    threads = [threading.Thread(target=follow, args=(each,)) for each in followers]
    for each in threads:
        each.start()
    chief.gather({"data": "hash"}, 10)
    chief.tell("train", {"task": 1}, {"guesses": np.arange(3)})
    chief.end(None)
    for follower, thread in zip(followers, threads, strict=True):
        thread.join()
        message = follower.next()
        assert (message.kind, message.values, message.arrays["guesses"].tolist()) == ("train", {"task": 1}, [0, 1, 2])
        assert follower.next().kind == "end"


def test_while_the_group_is_made_nobody_shows_signs_of_life_nor_is_missed(
    peers: tuple[Peers, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow holds the interpreter's lock while it waits for the others, so the threads that show life stand still."""
    lost: list[int] = []
    monkeypatch.setattr(crew._Crew, "_lose", lambda self, *_: lost.append(self.peers.index))
    monkeypatch.setattr(line, "PULSE_SECONDS", 0.1)
    monkeypatch.setattr(line, "PATIENCE_SECONDS", 2.0)
    chief, followers = started(peers, [{}] * 3)

    def follow(each: Follower) -> None:
        assert each.next().kind == "welcome"
        each.say("ready")

    threads = [threading.Thread(target=follow, args=(each,)) for each in followers]
    for thread in threads:
        thread.start()
    chief.gather({}, 10)
    for thread in threads:
        thread.join()

    def make() -> str:
        time.sleep(0.5)
        with monkeypatch.context() as silent:
            silent.setattr(Line, "say", lambda *_: None)
            time.sleep(3)
        return "group"

    assert chief.start(make) == "group"
    chief.tell("train")
    assert [[each.next().kind for _ in range(2)] for each in followers] == [["start", "train"]] * 2
    assert not lost
    # From the next sign of life on they are missed again.
    time.sleep(0.5)
    with monkeypatch.context() as silent:
        silent.setattr(Line, "say", lambda *_: None)
        until(lambda: set(lost) == {0, 1, 2})
    chief.end(None)
    for end in (*chief._lines.values(), *(each._line for each in followers)):
        end.close()


def test_what_fails_when_another_one_is_gone_is_explained_by_what_the_chief_says(peers: tuple[Peers, ...]) -> None:
    """A follower hears of another follower's end from the chief alone, which ends by it."""
    chief, (follower, _) = started(peers, [{}] * 3)
    unavailable = type("UnavailableError", (Exception,), {"__module__": "tensorflow.python.framework.errors_impl"})

    def compute() -> None:
        with follower.explained():
            until(lambda: len(chief._lines) == 2)
            chief.end(TemporaryError("worker 2 is gone"))
            raise unavailable

    with pytest.raises(FailedElsewhereError, match="worker 2 is gone") as raised:
        compute()
    assert raised.value.exit_code == 75
    assert follower.is_ending


def test_who_is_missing_is_named(peers: tuple[Peers, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "WAIT_SECONDS", 0.5)
    chief = Chief(peers[0], {}, lambda: None)
    follower = Follower(peers[1], {}, limit=5)
    with pytest.raises(TemporaryError, match=r"^worker 2 \(127\.0\.0\.1:8\) did not come within 0 s") as caught:
        chief.gather({}, 0.5)
    chief.end(caught.value)
    with pytest.raises(FailedElsewhereError, match="did not come") as elsewhere:
        follower.next()
    assert (caught.value.exit_code, elsewhere.value.exit_code) == (75, 75)
    with pytest.raises(TemporaryError, match=r"^worker 0 .* did not come within 0 s"):
        Follower(peers[1], {}, limit=0.3)


def test_who_was_started_otherwise_is_refused_and_all_end_alike(peers: tuple[Peers, ...]) -> None:
    chief, followers = started(peers, [{"seeds": 1}, {"seeds": 1}, {"seeds": 2}])
    with pytest.raises(
        ConfigurationError, match=r"worker 2 .* has seeds 2, this process 1; all of a group are started alike"
    ) as caught:
        chief.gather({}, 5)
    chief.end(caught.value)
    for each in followers:
        with pytest.raises(FailedElsewhereError, match="started alike") as elsewhere:
            each.next()
        assert elsewhere.value.exit_code == 78


def test_what_one_fails_with_ends_all(peers: tuple[Peers, ...]) -> None:
    chief, followers = started(peers, [{}] * 3)
    followers[1].end(ConfigurationError("the data are others"))
    with pytest.raises(FailedElsewhereError, match=r"^worker 2 .*: the data are others$") as caught:
        chief.gather({}, 5)
    assert caught.value.exit_code == 78


def test_where_nothing_is_to_be_done_who_comes_may_go(peers: tuple[Peers, ...]) -> None:
    chief = Chief(peers[0], {}, lambda: None)
    follower = Follower(peers[1], {}, limit=5)
    chief.dismiss(0.5)
    assert follower.next().kind == "end"


def test_a_port_that_is_taken_is_named(peers: tuple[Peers, ...]) -> None:
    with socket.create_server(("", peers[0].control[1])), pytest.raises(TemporaryError, match=f"port {peers[0].control[1]}: cannot be listened on"):  # fmt: skip
        Chief(peers[0], {}, lambda: None)
