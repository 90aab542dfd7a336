"""A run's models on other labelled data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from job.commands.evaluate import with_intervals
from tests.conftest import Command, table


def test_intervals_are_the_textbook_s() -> None:
    labels = np.array([1] * 40 + [0] * 60)
    random = np.random.default_rng(0)
    predicted = np.clip(labels * 0.3 + 0.35 + random.normal(0, 0.2, 100), 0.01, 0.99).astype(np.float32)
    found = with_intervals(labels, predicted)
    right = (predicted > 0.5) == (labels == 1)
    expected = stats.binomtest(int(right.sum()), 100).proportion_ci(method="wilson")
    assert found["ci95"]["accuracy"] == [pytest.approx(expected.low), pytest.approx(expected.high)]
    squares = (predicted - labels) ** 2
    assert found["scores"]["brier"] == pytest.approx(squares.mean())
    assert found["ci95"]["brier"][1] - found["ci95"]["brier"][0] == pytest.approx(2 * 1.96 * stats.sem(squares))
    # DeLong's variance, pair by pair.
    positive, negative = predicted[labels == 1], predicted[labels == 0]
    wins = (positive[:, None] > negative[None]) + 0.5 * (positive[:, None] == negative[None])
    error = (wins.mean(1).var(ddof=1) / 40 + wins.mean(0).var(ddof=1) / 60) ** 0.5
    assert found["scores"]["auc"] == pytest.approx(wins.mean())
    assert found["ci95"]["auc"][0] == pytest.approx(wins.mean() - 1.96 * error)


def test_of_one_class_there_is_no_area_under_the_curve() -> None:
    found = with_intervals(np.array([1, 1, 1]), np.array([0.2, 0.9, 1.0], np.float32))
    assert (found["scores"]["auc"], found["ci95"]["auc"]) == (None, None)
    assert found["scores"]["accuracy"] == pytest.approx(2 / 3)


def evaluate(command: Command, *arguments: Any) -> Any:
    done = command("evaluate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_on_the_run_s_own_data_the_scores_are_the_run_s(command: Command, finished: Path) -> None:
    found = evaluate(command, finished, "--data", "embedded")
    metrics = json.loads((finished / "metrics.json").read_text())
    assert (found["part"], found["reviews"], found["trained_on"]) == ("test", 2000, 0)
    for name, entry in metrics["architectures"].items():
        expected = entry["runs"][entry["best_seed"]]["test"]
        for key, value in expected.items():
            assert found["models"][name]["all"]["scores"][key] == pytest.approx(value, abs=2e-6), key
        low, high = found["models"][name]["all"]["ci95"]["accuracy"]
        assert low <= expected["accuracy"] <= high
    assert "one seed cannot tell" in found["comparison"]["verdict"] or found["comparison"]["p_value"] is None


def test_texts_that_were_trained_on_are_counted_and_scored_apart(
    command: Command, finished: Path, shared_cache: Path, tmp_path: Path
) -> None:
    from job.config import resolve
    from job.data import corpus
    from job.presets import PresetName

    data = corpus.load(resolve(output=Path(), cache=shared_cache, preset=PresetName.quickstart).source)
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
    assert shown.stdout.count(", new texts") == 2
    assert shown.stderr == ""


def test_evaluate_wants_data(command: Command, finished: Path) -> None:
    done = command("evaluate", finished)
    assert done.returncode == 2
    assert "name the labelled texts with --data" in " ".join(done.stderr.replace("│", " ").split())
