"""A server that comes and goes, and answers that are lost, leave each thing on the server once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.output.outbox import Item, Outbox, State
from job.telemetry.delivery import Delivery


class Fake:
    """Remembers everything that it was told; each call may fail before or after it did its work."""

    def __init__(self, faults: Sequence[str] = (), name: str = "http://one") -> None:
        self.name, self._faults = name, [*faults]
        self.runs: dict[str, str] = {}
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.metrics: list[tuple[str, int, float]] = []
        self.uploads: list[str] = []
        self.statuses: list[str] = []

    def _fails(self, when: str) -> None:
        if self._faults and self._faults[0].startswith(when):
            self._faults.pop(0)
            raise ConnectionError(f"{when} the work")

    def _works(self) -> None:
        if self._faults and self._faults[0] == "works":
            self._faults.pop(0)

    def find(self, key: str) -> str | None:
        self._fails("before")
        return self.runs.get(key)

    def create(self, key: str, folder: Path, time: int) -> str:
        self._fails("before")
        assert key not in self.runs
        self.runs[key] = f"run-{len(self.runs)}"
        self._fails("after")
        self._works()
        return self.runs[key]

    def steps(self, run_id: str, metric: str) -> set[int]:
        self._fails("before")
        return {step for key, step, _ in self.metrics if key == metric}

    def log(self, run_id: str, params: Mapping[str, str], tags: Mapping[str, str], metrics: Sequence[Item]) -> None:
        self._fails("before")
        self.params |= params
        self.tags |= tags
        self.metrics += [(item.key, item.step, float(item.value)) for item in metrics]
        self._fails("after")
        self._works()

    def upload(self, run_id: str, folder: Path, model: str) -> None:
        self._fails("before")
        self.uploads.append(model)
        self._fails("after")

    def set_status(self, run_id: str, status: str, time: int) -> None:
        self._fails("before")
        self.statuses.append(status)
        self._fails("after")


def loss(step: int) -> Item:
    return Item(kind="metric", key="rnn/0/loss", value=1 / step, step=step, time=step)


def test_all_of_it_arrives_in_its_place(tmp_path: Path) -> None:
    outbox, server = Outbox(tmp_path), Fake()
    outbox.add([Item(kind="param", key="preset", value="quickstart"), Item(kind="tag", key="seeds", value="1"), loss(1)])
    outbox.add([Item(kind="files", key="0a", value="rnn"), Item(kind="status", value="FINISHED")])
    Delivery(outbox, server).send()
    assert (server.params, server.tags, server.metrics) == ({"preset": "quickstart"}, {"seeds": "1"}, [("rnn/0/loss", 1, 1.0)])
    assert (server.uploads, server.statuses, [*server.runs.values()]) == (["rnn"], ["FINISHED"], ["run-0"])
    assert outbox.pending()[0] == []


@settings(deadline=None, max_examples=60)
@given(faults=st.lists(st.sampled_from(["before", "after", "works"]), max_size=12), kills=st.sets(st.integers(0, 9)))
def test_whatever_fails_and_whenever_the_process_is_killed_each_step_is_there_once(
    faults: list[str], kills: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, server = tmp_path_factory.mktemp("run"), Fake(faults)
    delivery = Delivery(Outbox(folder), server)
    for turn in range(10):
        if turn in kills:
            delivery = Delivery(Outbox(folder), server)
        # After a kill, the epoch before is done once more.
        delivery._outbox.add([loss(step) for step in (turn, turn + 1) if step])
        try:
            delivery.send()
        except ConnectionError:
            continue
    while delivery._outbox.pending()[0]:
        try:
            delivery.send()
        except ConnectionError:
            continue
    assert server.metrics == [("rnn/0/loss", step, 1 / step) for step in range(1, 11)]
    assert len(server.runs) == 1


def test_another_server_is_told_everything(tmp_path: Path) -> None:
    outbox, other = Outbox(tmp_path), Fake(name="http://two")
    outbox.add([loss(1)])
    Delivery(outbox, Fake()).send()
    key = outbox.state.key
    outbox.add([loss(2)])
    Delivery(outbox, other).send()
    assert [step for _, step, _ in other.metrics] == [1, 2]
    assert outbox.state == State(key=key, server="http://two", run_id="run-0", delivered=outbox.pending()[1])
