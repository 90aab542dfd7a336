"""How far back each network remembers: from made-up accuracies to a verdict, and the real command on two short distances."""

import json
import signal
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.analysis import memory as dependency
from job.config import DataSource, resolve
from job.data.corpus import load
from job.errors import ConfigurationError
from job.output.folder import Output, Result
from job.presets import PRESETS, REMEDIES, Architecture, PresetName
from job.training import distances
from tests.commands.test_interruption import started, wait_for
from tests.conftest import Command

TINY = ("train", "--preset", "dependency", "--distance", "6", "--distance", "3", "--seeds", "1", "--epochs", "1", "--units", "8", "--batch-size", "256", "--device", "cpu")  # fmt: skip
# The least accuracy on 2,000 reviews that guessing reaches less often than once in a thousand times: 1070 right.
NOT_CHANCE, CHANCE = 1070 / 2000, 1069 / 2000


def training(distance: int, seed: int, accuracy: float | None, remedy: str | None = None, back: float = 1.0) -> dict[str, Any]:
    return {
        "distance": distance,
        "remedy": remedy,
        "seed": seed,
        "test": None if accuracy is None else {"accuracy": accuracy},
        "test_reviews": 2000,
        "steps_until_learned": 282 if accuracy and accuracy > 0.9 else None,
        "gradient_norms": None if accuracy is None else [{"back": 0, "norm": 4.0}, {"back": 10, "norm": 4.0 * back}],
    }


def architectures(**accuracies: list[list[float | None]]) -> dict[str, Any]:
    """For each architecture the accuracies of each seed at 10, 40 and 160 tokens."""
    return {
        name: {
            "runs": [
                {"trainings": [training(distance, seed, value) for distance, value in zip((10, 40, 160), row, strict=True)]}
                for seed, row in enumerate(rows)
            ]
        }
        for name, rows in accuracies.items()
    }


def baseline(accuracy: float = 0.5) -> dict[str, Any]:
    return {"trainings": [{"distance": each, "test": {"accuracy": accuracy}} for each in (10, 40, 160)]}


def test_where_networks_fall_to_chance_and_what_is_said_of_it() -> None:
    found = dependency.compile_dependency(
        architectures(rnn=[[1.0, 1.0, CHANCE], [1.0, NOT_CHANCE, 0.5]], lstm=[[1.0, 0.5, 0.5], [1.0, 0.5, 0.5]]), baseline()
    )
    rnn, lstm = (network["limit"] for network in found["networks"])
    assert rnn == {"seeds": [[40.0, 160.0], [40.0, 160.0]], "tokens": pytest.approx(80), "ci95": pytest.approx([40, 160])}
    assert lstm == {"seeds": [[10.0, 40.0], [10.0, 40.0]], "tokens": pytest.approx(20), "ci95": pytest.approx([10, 40])}
    assert found["verdict"] == (
        "The SimpleRNN falls to chance at 80 tokens (95 % interval 40 to 160, 2 seeds). "
        "The LSTM falls to chance at 20 tokens (95 % interval 10 to 40, 2 seeds). "
        "The LSTM remembers further in 0 of 2 seeds, the SimpleRNN in 2. "
        "So that an LSTM remembers further does not hold here, as Keras's layers come and with these steps. "
        "A bag of words and word pairs is at chance at every distance."
    )
    point = found["networks"][0]["points"][1]
    assert point == {
        "distance": 40,
        "diverged": 0,
        "test_accuracy": {"mean": pytest.approx(0.7675), "sd": pytest.approx(0.3288, abs=1e-4), "ci95": pytest.approx([-2.187, 3.722], abs=1e-3)},
        "above_chance": 2,
        "learned": 1,
        "steps_until_learned": {"mean": 282.0, "sd": None, "ci95": None},
        "gradient_norms": [{"back": 0, "share": 1.0}, {"back": 10, "share": 1.0}],
    }  # fmt: skip


def test_seeds_that_disagree_widen_the_interval_and_a_bound_that_is_not_known_leaves_none() -> None:
    found = dependency.compile_dependency(
        architectures(rnn=[[1.0, 0.5, 0.5], [1.0, 1.0, 0.5]], lstm=[[1.0, 1.0, 1.0], [1.0, 1.0, 0.5]]), baseline(0.9)
    )
    rnn, lstm = (network["limit"] for network in found["networks"])
    assert rnn["tokens"] == pytest.approx(40)
    # log(20) and log(80): their mean's interval for one degree of freedom is 12.706 standard errors of 0.6931 wide.
    assert rnn["ci95"] == pytest.approx([20 / np.exp(8.807), 80 * np.exp(8.807)], rel=1e-2)
    assert lstm == {"seeds": [[160.0, None], [40.0, 160.0]], "tokens": None, "ci95": None}
    assert "The LSTM falls to chance at distances that these leave open (2 seeds: 160 to more, 40 to 160 tokens)." in found["verdict"]  # fmt: skip
    assert "The LSTM remembers further in 1 of 2 seeds, the SimpleRNN in 0. A bag" in found["verdict"]
    assert "at chance at all distances but 10 and 40 and 160." in found["verdict"]


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ([[1.0, 1.0, 0.5]], "falls to chance at 80 tokens (between 40 and 160, 1 seed)"),
        ([[1.0, 1.0, 1.0]] * 2, "does not fall to chance up to 160 tokens (2 seeds)"),
        ([[0.5, 1.0, 0.5]] * 2, "is at chance from 10 tokens on (2 seeds)"),
        # A training that diverged is no better than guessing.
        ([[1.0, None, 0.5]], "falls to chance at 20 tokens (between 10 and 40, 1 seed)"),
    ],
)
def test_a_limit_in_words(accuracies: list[list[float | None]], said: str) -> None:
    found = dependency.compile_dependency(architectures(rnn=accuracies), baseline())
    assert dependency.describe_limit(found["networks"][0]["limit"], found["distances"]) == said
    assert [point["diverged"] for point in found["networks"][0]["points"]][1] == (None in accuracies[0])


def test_gradients_are_shares_of_the_last_token_s() -> None:
    made = architectures(rnn=[[1.0, 1.0, 1.0]] * 2)
    for run, back in zip(made["rnn"]["runs"], (0.01, 0.0001), strict=True):
        run["trainings"] = [training(distance, 0 if back == 0.01 else 1, 1.0, back=back) for distance in (10, 40, 160)]
    found = dependency.compile_dependency(made, baseline())
    assert found["networks"][0]["points"][-1]["gradient_norms"] == [
        {"back": 0, "share": 1.0},
        {"back": 10, "share": pytest.approx(0.001)},
    ]


def test_a_corpus_of_several_distances_is_each_one_s_in_turn(shared_cache: Path) -> None:
    both = load(DataSource(name="embedded", cache=shared_cache, distances=(3, 6)))
    assert both.name == "embedded, distances 3 6"
    parts = distances.sections(both, (3, 6))
    for part, distance in zip(parts, (3, 6), strict=True):
        alone = load(DataSource(name="embedded", cache=shared_cache, distances=(distance,)))
        np.testing.assert_array_equal(part.labels, alone.labels)
        np.testing.assert_array_equal(part.hashes, alone.hashes)
        assert [part.text(index) for index in (0, 777, 21_999)] == [alone.text(index) for index in (0, 777, 21_999)]


def test_a_network_is_kept_of_the_longest_distance_that_was_learned(shared_cache: Path) -> None:
    configuration = resolve(
        output=Path(), cache=shared_cache, preset=PresetName.dependency, distances=[6, 3, 9], architectures=[Architecture.lstm]
    )
    corpus = load(configuration.source)
    asked: list[tuple[str, int]] = []

    def train_one(name: str, architecture: Architecture, seed: int, values: Any, reviews: Any) -> Result:
        asked.append((name, values.max_tokens))
        distance = int(name.split()[-1])
        accuracy = 1.0 if distance < 9 else 0.5
        scores = {"accuracy": accuracy, "loss": 0.1 * distance}
        record = {"seed": seed, "parameters": 7, "device": "cpu", "kernel": "xla", "continued": [], "diverged": None, "epochs": 2, "steps": 10, "best_epoch": 1, "train_reviews": 5, "validation_reviews": 3, "test_reviews": 2000, "seconds": 1.0, "tokens_per_second": float(distance), "train": scores, "validation": scores, "test": scores, "last_epoch": scores}  # fmt: skip
        history = [{"seed": seed, "epoch": 1, "validation_accuracy": accuracy}]
        return Result(record, history, np.full(2000, distance / 10, np.float32), [np.array([distance])])

    result = distances.train(Architecture.lstm, 4, configuration, corpus, train_one)
    plain = [f"lstm, distance {distance}" for distance in (3, 6, 9)]
    assert asked == list(zip(plain, (43, 46, 49), strict=True))
    assert result.weights == [np.array([6])]
    assert result.record["model_distance"] == 6
    assert (result.record["epochs"], result.record["steps"], result.record["test_reviews"]) == (6, 30, 6000)
    assert result.record["test"] == {"accuracy": pytest.approx(5 / 6), "loss": pytest.approx(0.6)}
    assert result.record["tokens_per_second"] == pytest.approx(6)
    assert [each["steps_until_learned"] for each in result.record["trainings"]] == [10, 10, None]
    assert result.history[0] == {"seed": 4, "distance": 3, "remedy": None, "epoch": 1, "validation_accuracy": 1.0}
    np.testing.assert_array_equal(result.probabilities[::2000], np.array([0.3, 0.6, 0.9], np.float32))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": PresetName.dependency, "data": "imdb"}, "--preset dependency needs to know how far apart"),
        ({"preset": PresetName.dependency, "distances": [5, 1]}, "--distance 1: expected 2"),
        (
            {"preset": PresetName.quickstart, "distances": [5, 6]},
            "--distance is given 2 times, which is of --preset dependency",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        resolve(output=Path(), cache=Path(), **options)


def test_both_networks_have_the_same_budget_and_nothing_gets_round_the_memory() -> None:
    plain = PRESETS[PresetName.dependency]
    configuration = resolve(output=Path(), cache=Path(), preset=PresetName.dependency)
    assert configuration.source.distances == (5, 10, 20, 50, 100, 200, 400)
    assert len(configuration.trainings()) == 6
    for architecture, values in plain.items():
        assert (values.epochs, values.batch_size) == (8, 64)
        for each in (values, *configuration.remedies[architecture].values()):
            assert (each.pooling, each.bidirectional, each.bigrams) == ("last", False, 0)
            assert each.max_tokens >= 440
    assert list(configuration.remedies[Architecture.rnn]) == list(REMEDIES[Architecture.rnn])


@pytest.fixture(scope="module")
def run(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dependency") / "run"
    done = command(*TINY, "--output", output)
    assert done.returncode == 0, done.stderr
    assert "test accuracy by distance" in done.stdout
    assert "A bag of words and word pairs is at chance at every distance." in " ".join(done.stdout.split())
    return output


@pytest.mark.long
@pytest.mark.xdist_group("distances")
def test_the_command_leaves_what_it_found(run: Path, command: Command) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    entry = metrics["dependency"]
    assert entry["distances"] == [3, 6]
    named = [(network["architecture"], network["remedy"]) for network in entry["networks"]]
    assert named == [(str(name), remedy) for name in Architecture for remedy in (None, *REMEDIES[name])]
    for network in entry["networks"]:
        for point in network["points"]:
            assert [each["back"] for each in point["gradient_norms"]] == [0, 1, 2, 5, 10][: len(point["gradient_norms"])]
            assert point["gradient_norms"][0]["share"] == 1
            assert len(point["gradient_norms"]) >= 4
    done = command("validate", run)
    assert done.returncode == 0, done.stderr
    history = Output(run).read_history("rnn")[0]
    assert {(row["distance"], row["remedy"]) for row in history} == {(d, r) for d in (3, 6) for r in (None, *REMEDIES[Architecture.rnn])}  # fmt: skip
    plot = ET.fromstring((run / "dependency.svg").read_text())
    assert plot[0].text == entry["verdict"]
    page = (run / "report.html").read_text()
    assert "sentiment-job train --preset dependency --data embedded --distance 3 --distance 6 --seeds 1 --epochs 1" in page
    assert "How far back the gradient reaches" in page
    done = command("predict", run, "Take my words backwards: the old dog. Simply awful.")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (run / "tensorboard" / "rnn" / "distance-3").iterdir()} == {"plain", *REMEDIES[Architecture.rnn]}  # fmt: skip


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: untimed(each) for key, each in value.items() if key not in ("seconds", "tokens_per_second")}
    return [untimed(each) for each in value] if isinstance(value, list) else value


@pytest.mark.long
@pytest.mark.xdist_group("distances")
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
