"""A run's models on other labelled data."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, table


def evaluate(command: Command, *arguments: Any) -> Any:
    done = command("evaluate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_on_the_run_s_own_data_the_scores_are_the_run_s(command: Command, finished: Path) -> None:
    found = evaluate(command, finished, "--data", "embedded")
    metrics = json.loads((finished / "metrics.json").read_text())
    assert (found["part"], found["reviews"], found["trained_on"]) == ("test", 2000, 0)
    assert list(found["models"]) == ["rnn", "lstm", "baseline", "ensemble"]
    tests = {name: entry["runs"][entry["best_seed"]]["test"] for name, entry in metrics["architectures"].items()}
    for name, expected in (tests | {name: metrics[name]["test"] for name in ("baseline", "ensemble")}).items():
        for key, value in expected.items():
            assert found["models"][name]["all"]["scores"][key] == pytest.approx(value, abs=2e-6), key
        for key in ("accuracy", "precision", "recall", "balanced_accuracy"):
            low, high = found["models"][name]["all"]["ci95"][key]
            assert low <= expected[key] <= high
    majority = metrics["data"]["majority"]
    assert (found["majority"]["label"], found["majority"]["accuracy"]) == (majority["label"], majority["test_accuracy"])
    assert "one seed cannot tell" in found["comparison"]["verdict"] or found["comparison"]["p_value"] is None


def test_texts_that_were_trained_on_are_counted_and_scored_apart(
    command: Command, finished: Path, shared_cache: Path, tmp_path: Path
) -> None:
    from job.data import corpus
    from job.presets import PresetName
    from job.source import DataRequest, resolve_source

    data = corpus.load(resolve_source(DataRequest(cache=shared_cache, preset=PresetName.quickstart)))
    known = [(data.text(int(index)), str(data.labels[index])) for index in data.part("train")[:30]]
    # A word that only these texts have must not make them unreadable: the run's vocabulary counts, not this file's.
    new = [(f"{data.text(int(index))} zyzzyva", str(data.labels[index])) for index in data.part("test")[:20]]
    path = tmp_path / "other.csv"
    path.write_bytes(table([*known, *new]))
    found = evaluate(command, finished, "--data", path)
    assert (found["part"], found["reviews"], found["trained_on"]) == ("all", 50, 30)
    assert found["models"]["rnn"]["not_trained_on"]["reviews"] == 20
    shown = command("evaluate", finished, "--data", path)
    assert "30 of them were in the run's training or validation data, word for word" in shown.stdout
    assert shown.stdout.count("new texts alone") == 1
    assert "Always answering" in shown.stdout
    assert shown.stderr == ""


def test_evaluate_wants_data(command: Command, finished: Path) -> None:
    done = command("evaluate", finished)
    assert done.returncode == 2
    assert "name the labelled texts with --data" in " ".join(done.stderr.replace("│", " ").split())
