"""Work side by side: the same results, the longest first, and whatever a worker dies of, nothing is lost."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from job.errors import DataError, DeviceMemoryError, JobError
from job.machine import signals
from job.output.checkpoints import Snapshot
from job.records.metrics import DeviceRecord
from job.training import team
from job.training.desk import Desk, Label
from job.training.team import Alone, SideBySide, Team
from scripts.measure.faults.runs import outcome
from tests.conftest import ROOT, train_here

CPU = DeviceRecord(
    type="cpu", name="a processor", cores=2, compute_capability=None, memory_bytes=None, driver=None, cuda=None, cudnn=None,
    tf32=False, slow_kernels={},
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """Does what it is told, and gives its name and the process that did it."""

    name: str
    how: str = "well"
    cost: float = 1.0

    @property
    def label(self) -> Label:
        return Label(self.name, 0)

    def do(self, desk: Desk, device: DeviceRecord) -> tuple[str, int]:
        before = desk.load()
        if self.how == "dies once" and before is None:
            desk.save(3, Snapshot({"steps": 3}, {"array": np.arange(100_000)}))
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "hangs once" and before is None:
            desk.save(1, Snapshot({"steps": 1}, {}))
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.how == "fails":
            raise DataError("these data are bad")
        if self.how == "needs memory" and before is None:
            desk.save(1, Snapshot({"steps": 1}, {}))
            raise DeviceMemoryError("the memory did not suffice for a batch")
        if self.how == "breaks":
            raise KeyError("a defect")
        if self.how == "waits":
            try:
                with signals.deferred():
                    desk.look("it waits")
                    while True:
                        time.sleep(0.01)
                        signals.raise_pending()
            except signals.Interrupted:
                desk.save(7, Snapshot({"steps": 7}, {}))
                raise
        if before is not None:
            logging.getLogger("job.test").info(f"{self.name} goes on after {before.values['steps']} steps")
        return self.name, os.getpid()


class Noted:
    """A desk that keeps what it is told."""

    def __init__(self) -> None:
        self.saved: list[tuple[int, Snapshot]] = []
        self.looked = threading.Event()

    def load(self) -> Snapshot | None:
        return self.saved[-1][1] if self.saved else None

    def save(self, step: int, snapshot: Snapshot) -> None:
        self.saved.append((step, snapshot))

    def look(self, purpose: str) -> None:
        self.looked.set()


def side_by_side(count: int) -> SideBySide:
    return SideBySide(CPU, count, [], 1)


def done(
    these: Team, works: Sequence[Step], desks: Sequence[Any] | None = None, found: dict[int, Any] | None = None
) -> dict[int, tuple[str, int]]:
    found = {} if found is None else found
    for place, (work, desk) in enumerate(zip(works, desks or [Noted() for _ in works], strict=True)):
        these.add(work, desk, partial(found.__setitem__, place))
    these.finish()
    return found


@pytest.mark.long
def test_each_piece_is_done_once_the_longest_first_and_no_process_is_left() -> None:
    works = [Step("short", cost=1), Step("long", cost=9), Step("middle", cost=5)]
    with side_by_side(1) as alone:
        order = list(done(alone, works))
    assert order == [1, 2, 0]
    with side_by_side(2) as two:
        found = done(two, works)
        again = done(two, [Step("once more")])
    assert {place: name for place, (name, _) in found.items()} == {0: "short", 1: "long", 2: "middle"}
    pids = {pid for _, pid in [*found.values(), *again.values()]}
    assert os.getpid() not in pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert two.peak_memory_bytes > 100 << 20


@pytest.mark.long
@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_follows_from_a_result_is_done_as_well(count: int) -> None:
    """Added when the result is there; of more workers than there is work for, none keeps the others waiting."""
    found: list[str] = []

    def take(result: tuple[str, int]) -> None:
        found.append(result[0])
        if len(found) < 4:
            these.add(Step(f"{result[0]}+"), Noted(), take)  # type: ignore[arg-type]

    with side_by_side(count) if count else Alone(CPU) as these:
        these.add(Step("first"), Noted(), take)  # type: ignore[arg-type]
        these.finish()
        assert found == ["first", "first+", "first++", "first+++"]
        # Nothing is done twice.
        these.finish()
    assert len(found) == 4


@pytest.mark.long
def test_a_worker_that_dies_is_named_and_its_work_goes_on_from_where_it_was_saved(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "job")
    desks = [Noted(), Noted()]
    with side_by_side(2) as two:
        found = done(two, [Step("rnn", "dies once"), Step("lstm")], desks)
    assert {place: name for place, (name, _) in found.items()} == {0: "rnn", 1: "lstm"}
    assert [step for step, _ in desks[0].saved] == [3]
    assert desks[0].saved[0][1].arrays["array"].sum() == 4999950000
    said = [each.getMessage() for each in caplog.records]
    assert "rnn seed 0: its process was ended by SIGSEGV; taken up again where it was saved (1 of 2)" in said
    assert "rnn goes on after 3 steps" in said


@pytest.mark.long
def test_work_whose_worker_dies_time_and_again_is_given_up_after_the_others_are_done(caplog: pytest.LogCaptureFixture) -> None:
    found: dict[int, Any] = {}
    works = [Step("rnn", "dies", cost=2), Step("lstm")]
    message = r"rnn seed 0: its process was ended by SIGKILL, 3 times; what was finished is kept"
    with pytest.raises(JobError, match=message), side_by_side(1) as one:
        done(one, works, found=found)
    assert list(found) == [1]
    assert sum("taken up again" in each.getMessage() for each in caplog.records) == 2


@pytest.mark.long
def test_a_worker_that_is_stopped_for_good_is_ended_and_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with side_by_side(2) as two:
        # Once they are there: until then they say nothing.
        done(two, [Step("a"), Step("b")])
        monkeypatch.setattr(team, "PATIENCE_SECONDS", 6.0)
        found = done(two, [Step("rnn", "hangs once"), Step("lstm")])
    assert {name for name, _ in found.values()} == {"rnn", "lstm"}
    assert "rnn seed 0: its process gave no sign of life for 6 s, and was ended; taken up" in caplog.text


@pytest.mark.long
def test_what_fails_fails_as_in_one_process_and_a_defect_shows_where_it_is() -> None:
    with pytest.raises(DataError, match="these data are bad"), side_by_side(1) as one:
        done(one, [Step("rnn", "fails")])
    message = r"rnn seed 0, in a process of its own:\n(.|\n)*KeyError: 'a defect'"
    with pytest.raises(RuntimeError, match=message), side_by_side(1) as one:
        done(one, [Step("rnn", "breaks")])


@pytest.mark.long
def test_where_memory_does_not_suffice_fewer_work_side_by_side(caplog: pytest.LogCaptureFixture) -> None:
    with side_by_side(2) as two:
        found = done(two, [Step("rnn", "needs memory", cost=2), Step("lstm")])
    assert sorted(found) == [0, 1]
    assert "the memory did not suffice for a batch; going on with 1 side by side" in caplog.text


@pytest.mark.long
def test_a_signal_lets_every_worker_save_where_it_is() -> None:
    desks = [Noted(), Noted()]
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signals._handle)

    def ask() -> None:
        for desk in desks:
            assert desk.looked.wait(60)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        with pytest.raises(signals.Interrupted), side_by_side(2) as two:
            done(two, [Step("rnn", "waits"), Step("lstm", "waits")], desks)
    finally:
        signal.signal(signal.SIGTERM, before)
        signals._received = None
        thread.join()
    assert [[step for step, _ in desk.saved] for desk in desks] == [[7], [7]]


@pytest.mark.long
def test_a_run_is_the_same_to_the_bit_however_many_work_on_it(tmp_path: Path, shared_cache: Path) -> None:
    from job.presets import Architecture

    def run(workers: int) -> Any:
        options = {"workers": str(workers), "architecture": list(Architecture)}
        train_here(tmp_path / str(workers), shared_cache, seeds=2, options=options, epochs=2, batch_size=256)
        return outcome(tmp_path / str(workers))

    one, two, three = (run(workers) for workers in (1, 2, 3))
    assert two == one
    assert three == one


@pytest.mark.long
def test_whom_others_work_for_needs_no_tensorflow(tmp_path: Path, shared_cache: Path) -> None:
    """Hundreds of megabytes and seconds, for nothing."""
    script = """
import sys
from job.__main__ import main
code = main()
assert "tensorflow" not in sys.modules
sys.exit(code)
"""
    tiny = ["--epochs", "1", "--units", "4", "--batch-size", "256", "--workers", "2", "--device", "cpu"]
    options = ["train", "--preset", "quickstart", *tiny, "--output", str(tmp_path / "output"), "--cache", str(shared_cache)]
    done = subprocess.run([sys.executable, "-c", script, *options], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "output" / "ensemble").iterdir()} == {
        "README.md",
        "model.safetensors",
        "saved_model",
    }
    assert not list((tmp_path / "output").rglob(".*"))
