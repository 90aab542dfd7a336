"""A run in the words of a server that keeps track of experiments."""

import math
from dataclasses import replace
from pathlib import Path

from job.output.finished import FinishedRun
from job.output.outbox import Item
from job.presets import Architecture
from job.records.history import Epoch, training_name
from job.telemetry import told
from job.training.desk import Label

EPOCH = Epoch(
    epoch=2,
    loss=0.5,
    accuracy=0.75,
    validation_loss=None,
    validation_accuracy=None,
    learning_rate=0.001,
    seconds=1.5,
    tokens_per_second=100.0,
)
NAMES = ["loss", "accuracy", "learning_rate", "seconds", "tokens_per_second"]


def test_an_epochs_figures_are_named_by_network_and_seed_and_stand_at_the_epoch() -> None:
    items = [*told.of_epoch(Label("rnn", 0), EPOCH, 7)]
    assert items[0] == Item(kind="metric", key="rnn/0/loss", value=0.5, step=2, time=7)
    assert [item.key for item in items] == [f"rnn/0/{name}" for name in NAMES]
    assert {item.step for item in items} == {2}


def test_a_run_that_a_signal_ended_was_killed_and_did_not_fail() -> None:
    said = {code: [item.value for item in told.of_exit(code) if item.kind == "status"] for code in (0, 1, 74, 129, 130, 143)}
    assert said == {0: ["FINISHED"], 1: ["FAILED"], 74: ["FAILED"], 129: ["KILLED"], 130: ["KILLED"], 143: ["KILLED"]}


def test_what_is_no_number_is_not_told() -> None:
    items = told.of_epoch(Label("rnn", 0), replace(EPOCH, loss=math.nan, accuracy=math.inf), 7)
    assert [item.key for item in items] == [f"rnn/0/{name}" for name in NAMES[2:]]


def test_names_are_in_the_characters_that_mlflow_takes() -> None:
    (first, *_) = told.of_epoch(Label("rnn (reversed: input), distance 10", 1), EPOCH, 7)
    assert first.key == "rnn-reversed-input-distance-10/1/loss"


def test_the_trainings_of_a_distance_have_the_name_of_their_rows() -> None:
    assert training_name("rnn") == "rnn"
    assert training_name("rnn", 10) == "rnn, distance 10"
    assert training_name("rnn", 10, "reversed") == "rnn (reversed), distance 10"


def test_a_finished_run_is_told_once_however_often_it_is_read(finished: Path) -> None:
    run = FinishedRun.read(finished)
    items = [*told.of_beginning(run.record), *told.of_history(run), *told.of_end(run)]
    places = [(item.kind, item.key, item.step) for item in items]
    assert len(places) == len(set(places))
    known = {item.key: item.value for item in items}
    assert known["lstm.units"] == "8"
    assert known["rnn/1/test/accuracy"] == run.metrics.architectures[Architecture.rnn].runs[1].test.accuracy  # type: ignore[union-attr]
    assert ("metric", "rnn/test/accuracy_mean", 2) in places
    assert [item.step for item in items if item.key == "lstm/1/loss"] == [1, 2]
    assert known["verdict"] == run.metrics.verdict
    assert items[-1].value == "FINISHED"
