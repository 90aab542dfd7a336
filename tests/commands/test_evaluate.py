"""A run's models on other labelled data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from job.commands import evaluate as commands
from job.data.corpus import Corpus
from job.network.predictor import Predictor
from job.records.data import Reading
from job.source import DataSource
from tests.conftest import Command, table
from tests.output.samples import rehash, write_run

READING = Reading(rows=4, left_out={}, columns={}, labels=[], label_rule="", notices=[], warnings=[], near_copies=None)


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


@pytest.mark.parametrize("takes_out_html", [True, False])
def test_texts_are_read_as_the_run_s_models_read_them(
    takes_out_html: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of Keras's IMDB know the tag `br` as a word."""
    run = write_run(tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["data"]["reading"] = READING.but(takes_out_html=takes_out_html).to_values()
    (run / "metrics.json").write_text(json.dumps(metrics))
    rehash(run)
    read: list[Corpus] = []

    def predicted(_: Predictor, corpus: Corpus, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        read.append(corpus)
        return np.zeros(len(indices), np.float32)

    monkeypatch.setattr(commands, "_predict", predicted)
    (tmp_path / "a.csv").write_bytes(table([("Good<br />", "1"), ("bad", "0")] * 2))
    commands.evaluate(run, DataSource(name=str(tmp_path / "a.csv"), cache=tmp_path))
    assert ("br" in read[0].words) is not takes_out_html
