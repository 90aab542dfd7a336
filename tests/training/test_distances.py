"""The preset dependency: how its trials come together, and the real command on two short distances."""

import json
import signal
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.config import Request, resolve
from job.data.corpus import load
from job.errors import ConfigurationError
from job.output.finished import FinishedRun
from job.output.folder import Output
from job.output.results import TrialResult
from job.presets import PRESETS, Architecture, PresetName
from job.records.history import Epoch, HistoryRow
from job.records.trials import LossAndAccuracy, Scores, TrialRecord
from job.source import DataSource
from job.training import distances
from job.training.trial import Task
from tests.commands.test_interruption import started, wait_for
from tests.conftest import Command

TINY = ("train", "--preset", "dependency", "--distance", "6", "--distance", "3", "--seeds", "1", "--epochs", "1", "--units", "8", "--batch-size", "256", "--device", "cpu")  # fmt: skip


def test_a_corpus_of_several_distances_is_each_one_s_in_turn(shared_cache: Path) -> None:
    both = load(DataSource(name="embedded", cache=shared_cache, distances=(3, 6)))
    assert both.name == "embedded, distances 3 6"
    parts = distances.sections(both, 2)
    for part, distance in zip(parts, (3, 6), strict=True):
        alone = load(DataSource(name="embedded", cache=shared_cache, distances=(distance,)))
        np.testing.assert_array_equal(part.labels, alone.labels)
        np.testing.assert_array_equal(part.hashes, alone.hashes)
        assert [part.text(index) for index in (0, 777, 21_999)] == [alone.text(index) for index in (0, 777, 21_999)]


def test_a_network_is_kept_of_the_longest_distance_that_was_learned(shared_cache: Path, tmp_path: Path) -> None:
    request = Request(
        cache=shared_cache, preset=PresetName.dependency, distance=[6, 3, 9], architecture=[Architecture.lstm]
    )  # fmt: skip
    configuration = resolve(request)
    corpus = load(configuration.source)
    asked: list[tuple[str, int]] = []

    class Trainer:
        output = Output(tmp_path)

        def train(self, tasks: Any, keep: Any) -> None:
            for place, (task, _) in enumerate(tasks):
                keep(place, self.trained(task))

        def trained(self, task: Task) -> TrialResult:
            asked.append((task.name, task.values.max_tokens))
            distance = int(task.name.split()[-1])
            accuracy = 1.0 if distance < 9 else 0.5
            scores = Scores(accuracy=accuracy, loss=0.1 * distance, auc=None, f1=0.5, brier=0.1)
            record = TrialRecord(
                seed=task.seed, status="finished", parameters=7, device="cpu", kernel="xla", continued=[], diverged=None, epochs=2,
                steps=10, best_epoch=1, train_reviews=5, validation_reviews=3, test_reviews=2000, seconds=1.0, tokens_per_second=float(distance),
                train=scores, validation=scores, test=scores, calibration=None, last_epoch=LossAndAccuracy(loss=0.1, accuracy=accuracy),
            )  # fmt: skip
            epoch = Epoch(epoch=1, loss=0.1, accuracy=1.0, validation_loss=0.1, validation_accuracy=accuracy, learning_rate=1e-3, seconds=1.0, tokens_per_second=1.0)  # fmt: skip
            history = [HistoryRow(seed=task.seed, epoch=epoch)]
            return TrialResult(record, history, np.full(2000, distance / 10, np.float32), [np.array([distance], np.float32)])

    recipe = distances.NetworksOverDistances(configuration, corpus, Trainer())  # type: ignore[arg-type]
    kept: list[tuple[Architecture, TrialResult]] = []

    def keep(architecture: Architecture, found: TrialResult) -> TrialResult:
        kept.append((architecture, found))
        return found

    recipe.train([(Architecture.lstm, 4)], keep)
    ((architecture, result),) = kept
    assert architecture is Architecture.lstm
    plain = [f"lstm, distance {distance}" for distance in (3, 6, 9)]
    assert asked == list(zip(plain, (43, 46, 49), strict=True))
    assert result.weights == [np.array([6])]
    assert result.record.model_distance == 6
    assert (result.record.epochs, result.record.steps, result.record.test_reviews) == (6, 30, 6000)
    assert result.record.test is not None
    assert [result.record.test.accuracy, result.record.test.loss] == pytest.approx([5 / 6, 0.6])
    assert result.record.tokens_per_second == pytest.approx(6)
    assert [each.steps_until_learned for each in result.record.trainings] == [10, 10, None]
    first = result.history[0]
    assert (first.seed, first.distance, first.remedy, first.epoch.epoch, first.epoch.validation_accuracy) == (
        4,
        3,
        None,
        1,
        1.0,
    )
    np.testing.assert_array_equal(result.probabilities[::2000], np.array([0.3, 0.6, 0.9], np.float32))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": PresetName.dependency, "data": "imdb"}, "--preset dependency needs to know how far apart"),
        ({"preset": PresetName.dependency, "distance": [5, 1]}, "--distance 1: expected 2"),
        (
            {"preset": PresetName.quickstart, "distance": [5, 6]},
            "--distance is given 2 times, which is of --preset dependency",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        resolve(Request(**options))


def test_both_networks_have_the_same_budget_and_nothing_gets_round_the_memory() -> None:
    plain = PRESETS[PresetName.dependency].networks
    configuration = resolve(Request(preset=PresetName.dependency))
    assert configuration.source.distances == (5, 10, 20, 50, 100, 200, 400)
    assert len(configuration.trials()) == 6
    for architecture, values in plain.items():
        assert (values.epochs, values.batch_size) == (8, 64)
        for each in (values, *configuration.remedies[architecture].values()):
            assert (each.pooling, each.bidirectional, each.evidence) == ("last", False, 0)
            assert each.max_tokens >= 440
    assert list(configuration.remedies[Architecture.rnn]) == list(PRESETS[PresetName.dependency].remedies[Architecture.rnn])


@pytest.fixture(scope="module")
def run(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dependency") / "run"
    done = command(*TINY, "--output", output)
    assert done.returncode == 0, done.stderr
    assert "test accuracy by distance" in done.stdout
    assert "A bag of words and word pairs is at chance at every distance." in " ".join(done.stdout.split())
    return output


def test_the_command_leaves_what_it_found(run: Path, command: Command) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    entry = metrics["dependency"]
    assert entry["distances"] == [3, 6]
    named = [(network["architecture"], network["remedy"]) for network in entry["networks"]]
    assert named == [
        (str(name), remedy) for name in Architecture for remedy in (None, *PRESETS[PresetName.dependency].remedies[name])
    ]
    for network in entry["networks"]:
        for point in network["points"]:
            assert [each["back"] for each in point["gradient_norms"]] == [0, 1, 2, 5, 10][: len(point["gradient_norms"])]
            assert point["gradient_norms"][0]["share"] == 1
            assert len(point["gradient_norms"]) >= 4
    assert "ensemble" not in metrics or metrics["ensemble"] is None
    assert not [name for name in ("ensemble", "validation_predictions.csv", "evidence.safetensors") if (run / name).exists()]
    done = command("validate", run)
    assert done.returncode == 0, done.stderr
    # The card is of the network that is kept, and not of all distances.
    kept = metrics["architectures"]["lstm"]["runs"][0]
    (own,) = [each for each in kept["trainings"] if each["distance"] == kept["model_distance"] and each["remedy"] is None]
    card = (run / "lstm" / "README.md").read_text()
    assert f"      value: {own['test']['accuracy']!r}\n" in card
    assert (
        f"this one is of distance {own['distance']}, and was trained on {own['train_reviews']:,} of the reviews below." in card
    )
    assert ", 1 epoch, " in card
    assert "Of 2,000 test reviews" in card
    assert " has a test accuracy of 0.5000 over all distances." in card
    assert not (run / "baseline").exists()
    history = [row for result in FinishedRun.read(run).trials.of(Architecture.rnn) for row in result.history]
    assert {(row.distance, row.remedy) for row in history} == {(d, r) for d in (3, 6) for r in (None, *PRESETS[PresetName.dependency].remedies[Architecture.rnn])}  # fmt: skip
    plot = ET.fromstring((run / "dependency.svg").read_text())
    assert plot[0].text == entry["verdict"]
    page = (run / "report.html").read_text()
    assert "sentiment-job train --preset dependency --data embedded --distance 3 --distance 6 --seeds 1 --epochs 1" in page
    assert "How far back the gradient reaches" in page
    done = command("predict", run, "Take my words backwards: the old dog. Simply awful.")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (run / "tensorboard" / "rnn" / "distance-3").iterdir()} == {"plain", *PRESETS[PresetName.dependency].remedies[Architecture.rnn]}  # fmt: skip


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: untimed(each) for key, each in value.items() if key not in ("seconds", "tokens_per_second")}
    return [untimed(each) for each in value] if isinstance(value, list) else value


def test_stopped_and_continued_and_in_shards_it_is_the_same(
    run: Path, command: Command, tmp_path: Path, shared_cache: Path
) -> None:
    """One shard an architecture; one of them is stopped amid its trainings."""
    with started(*TINY, "--shard", "0/2", "--cache", shared_cache, "--output", tmp_path) as process:
        wait_for("rnn (gradient clipping), distance 3 seed 0: epoch 1/1", process.stderr)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 143
    for shard in ("0/2", "1/2"):
        done = command(*TINY, "--shard", shard, "--output", tmp_path)
        assert done.returncode == 0, done.stderr
        # What was finished is not trained again.
        assert "rnn, distance 3 seed 0: epoch" not in done.stderr
    done = command("merge", tmp_path, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    joined, alone = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path, run))
    assert untimed(joined) == untimed(alone)
    assert (tmp_path / "dependency.svg").read_bytes() == (run / "dependency.svg").read_bytes()
