"""A trial's snapshots cost no more than a hundredth of the training."""

from types import SimpleNamespace

import pytest

pytest.importorskip("tensorflow")

from job.records.history import Epoch
from job.training import pace
from job.training.desk import Label
from job.training.position import Position
from job.training.trial import Runner


def epoch(number: int, seconds: float) -> Epoch:
    return Epoch(
        epoch=number,
        loss=0.5,
        accuracy=0.5,
        validation_loss=None,
        validation_accuracy=None,
        learning_rate=0.1,
        seconds=seconds,
        tokens_per_second=1.0,
    )


@pytest.mark.parametrize(
    ("before", "seconds", "saved"),
    [
        (0.0, [30.0, 30.0, 30.0, 30.0], [0, 1, 1, 2]),
        (0.0, [0.1, 0.1, 0.1], [0, 0, 0]),
        (0.0, [500.0, 500.0], [1, 2]),
        # What an earlier process trained pays for nothing of this one.
        (1000.0, [30.0, 30.0], [0, 1]),
    ],
)
def test_a_snapshot_is_taken_once_the_training_has_paid_for_it(
    before: float, seconds: list[float], saved: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: clock.now))
    position = Position(history=[epoch(1, before)] if before else [])
    runner = Runner.__new__(Runner)
    network = SimpleNamespace(count_params=lambda: 0)
    task = SimpleNamespace(label=Label("rnn", 0))
    runner._trial = SimpleNamespace(task=task, network=network, loop=SimpleNamespace(position=position))  # type: ignore[assignment]
    runner._desk = SimpleNamespace(epoch=lambda label, epoch: None)
    runner._trained_before = before
    runner._pace = pace.Pace()

    def save() -> None:
        # Each snapshot takes half a second.
        with runner._pace.measured():
            clock.now += 0.5

    monkeypatch.setattr(runner, "_save", save)
    monkeypatch.setattr(pace, "_GUESSED_SECONDS", 0.5)
    found = []
    for number, each in enumerate(seconds, 2):
        position.history.append(epoch(number, each))
        runner._on_epoch(position.history[-1])
        found.append(runner._pace.count)
    assert found == saved
