"""Networks that read evidence, and what they and the baseline say together: trained, added to, sharded, and asked."""

import csv
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job import command_line
from job.commands import evaluate, merge, predict, publishing
from job.config import DeviceChoice, Request, resolve
from job.data import corpus as corpora
from job.files import checksum
from job.network.fresh import FreshProcess
from job.output.finished import VerifiedRun
from job.presets import Architecture, ModelName, PresetName
from job.source import DataRequest, resolve_source
from tests.conftest import table

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from job.machine import runtime

# As the job does, before the first operation.
runtime.prepare_tensorflow()

SMALL = {"epochs": 2, "units": 3, "embedding_size": 4, "batch_size": 32, "max_tokens": 12, "learning_rate": 0.003}  # fmt: skip
SAME = ("predictions.csv", "validation_predictions.csv", "evidence.safetensors", "ensemble/model.safetensors", "baseline/model.safetensors")  # fmt: skip


def texts(count: int = 600) -> list[tuple[str, str]]:
    """Labels are told by words, by an order of words, and by nothing."""
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        label = number % 2
        words = random.choice(["plot", "scene", "actor", "song", "light"], 6).tolist()
        words[0:2] = ["good", "bad"] if label ^ (random.random() < 0.2) else ["bad", "good"]
        words.append(["dull", "fine"][label ^ int(random.random() < 0.3)])
        made.append((" ".join([*words, f"n{number}"]), ["neg", "pos"][label]))
    return made


def train(folder: Path, output: Path, seeds: int, shard: str | None = None) -> dict[str, Any]:
    from job.commands.train import train
    from job.progress import Display

    request = Request(
        output=output, cache=folder / "cache", preset=PresetName.standard, data=str(folder / "own.csv"), seeds=seeds,
        device=DeviceChoice.cpu, shard=shard, hyperparameters=SMALL,
    )  # fmt: skip
    metrics = train(resolve(request), Display(), fresh=False)
    assert metrics is not None
    return metrics.to_values()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and one run of two seeds in `whole`."""
    made = tmp_path_factory.mktemp("ensemble")
    (made / "own.csv").write_bytes(table(texts()))
    train(made, made / "whole", 2)
    return made


def read(path: Path) -> dict[tuple[str, int], Any]:
    """The probabilities of a predictions.csv, by architecture and seed."""
    found: dict[tuple[str, int], list[float]] = {}
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            found.setdefault((row["architecture"], int(row["seed"])), []).append(float(row["probability"]))
    return {key: np.array(each) for key, each in found.items()}


def part(folder: Path, name: str) -> tuple[list[str], list[int]]:
    """The texts and labels of a part of the data."""
    data = corpora.load(resolve_source(DataRequest(cache=folder / "cache", data=str(folder / "own.csv"))))
    indices = data.part("test") if name == "test" else data.split_validation(0.1)[1]
    return [texts()[row - 1][0] for row in data.rows[indices].tolist()], data.labels[indices].tolist()


def test_its_metrics_name_the_members_and_their_weights(folder: Path) -> None:
    metrics = json.loads((folder / "whole" / "metrics.json").read_text())
    members = metrics["ensemble"]["members"]
    assert [(each["name"], each["seeds"]) for each in members] == [("rnn", [0, 1]), ("lstm", [0, 1]), ("baseline", [])]
    assert len([each for each in members if each["weight"]]) >= 2
    assert list(metrics["ensemble"]["comparisons"]) == ["rnn", "lstm", "baseline"]
    files = json.loads((folder / "whole" / "run.json").read_text())["files"]
    assert {*SAME, "ensemble/saved_model/saved_model.pb"} <= set(files)
    assert not [name for name in files if name.startswith("checkpoints")]


@pytest.mark.parametrize("name", list(ModelName))
def test_the_model_the_saved_model_and_the_predictions_say_the_same(folder: Path, name: ModelName) -> None:
    run = VerifiedRun.verify(folder / "whole")
    predictor = predict.load(run, name)
    best = run.metrics.architectures[Architecture(name)].best_seed if name.is_network else 0
    assert best is not None
    for file, of in (("predictions.csv", "test"), ("validation_predictions.csv", "validation")):
        asked, _ = part(folder, of)
        expected = read(run.folder / file)[name, best]
        np.testing.assert_allclose(predictor.probabilities(asked), expected, rtol=0, atol=2e-6)
        served = tf.saved_model.load(str(run.folder / name / "saved_model")).signatures["serving_default"]
        answer = served(text=tf.constant(asked))
        np.testing.assert_allclose(answer["probability"], expected, rtol=0, atol=2e-6)
        labels = ["positive" if each > 0.5 else "negative" for each in expected]
        assert [each.decode() for each in answer["label"].numpy()] == labels
        if name.is_network:
            model = keras.saving.load_model(run.folder / name / "model.keras")
            read_of = predictor.encode(asked)
            padded = np.zeros((len(read_of), max(map(len, read_of))), np.int32)
            for row, tokens in zip(padded, read_of, strict=True):
                row[: len(tokens)] = tokens
            np.testing.assert_allclose(model(padded)[:, 0], expected, rtol=0, atol=2e-6)


def test_the_validation_predictions_are_of_the_validation_reviews(folder: Path) -> None:
    with (folder / "whole" / "validation_predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    _, labels = part(folder, "validation")
    assert [int(row["label"]) for row in rows] == labels * 6
    data = texts()
    assert all(data[int(row["row"]) - 1][1] == ["neg", "pos"][int(row["label"])] for row in rows)
    keys = [("rnn", 0), ("rnn", 1), ("lstm", 0), ("lstm", 1), ("baseline", 0), ("ensemble", 0)]
    assert list(read(folder / "whole" / "validation_predictions.csv")) == keys


def assert_same(one: Path, other: Path) -> None:
    for name in SAME:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    found = [json.loads((each / "metrics.json").read_text())["ensemble"] for each in (one, other)]
    assert found[0] == found[1]
    loaded = [predict.load(VerifiedRun.verify(each), ModelName.ensemble).probabilities(["good bad plot fine"]) for each in (one, other)]  # fmt: skip
    assert loaded[0] == loaded[1]


@pytest.fixture
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each export that is tried; it is tried once above."""

    class Untried(list[Path]):
        def __init__(self, texts: list[str], folder: Path) -> None:
            super().__init__()

        def load(self, folder: Path, name: Path) -> None:
            self.append(folder)

        def answers(self) -> list[Path]:
            return self

        def close(self) -> None:
            pass

    monkeypatch.setattr(publishing, "FreshProcess", Untried)
    monkeypatch.setattr(publishing, "difference", lambda *_: 0.0)


@pytest.mark.usefixtures("unverified")
def test_a_run_to_which_a_seed_was_added_is_the_one_of_both(folder: Path, tmp_path: Path) -> None:
    first = train(folder, tmp_path, 1)
    assert [each["seeds"] for each in first["ensemble"]["members"]] == [[0], [0], []]
    card = (tmp_path / "rnn" / "README.md").read_text()
    assert "It was trained with seed 0 alone." in card
    train(folder, tmp_path, 2)
    assert_same(tmp_path, folder / "whole")
    card = (tmp_path / "rnn" / "README.md").read_text()
    assert "of 2 seeds" in card
    assert "own.csv" in card


@pytest.mark.usefixtures("unverified")
def test_merged_shards_are_the_run_in_one_piece(folder: Path, tmp_path: Path) -> None:
    for index in (1, 0):
        train(folder, tmp_path, 2, f"{index}/2")
    merge.merge([tmp_path], tmp_path, 0)
    assert_same(tmp_path, folder / "whole")
    assert {path.name for path in (tmp_path / "ensemble").iterdir()} == {"README.md", "model.safetensors", "saved_model"}
    record = json.loads((tmp_path / "run.json").read_text())
    for name in ModelName:
        card = (tmp_path / name / "README.md").read_text()
        assert "Joined from 2 shards." in card
        assert f"Run from {record['start']} to {record['end']}" in card
        assert record["files"][f"{name}/README.md"] == checksum.of_file(tmp_path / name / "README.md")


def test_it_is_asked_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked, _ = part(folder, "test")
    expected = read(folder / "whole" / "predictions.csv")["ensemble", 0][:3]

    def call(*arguments: str) -> list[str]:
        command = ["sentiment-job", "predict", str(folder / "whole"), "--architecture", "ensemble", *arguments]
        monkeypatch.setattr(sys, "argv", command)
        assert command_line.run() == 0
        return capsys.readouterr().out.splitlines()

    found = [line.split("\t") for line in call(*asked[:3])]
    np.testing.assert_allclose([float(probability) for probability, _ in found], expected, atol=1e-5)
    assert [label for _, label in found] == ["positive" if each > 0.5 else "negative" for each in expected]
    answers = [json.loads(line) for line in call("--json", *asked[:3], "")]
    np.testing.assert_allclose([each["probability"] for each in answers[:3]], expected, atol=1e-5)
    assert {each["architecture"] for each in answers} == {"ensemble"}
    assert [each["index"] for each in answers] == [0, 1, 2, 3]
    assert [each["known_words"] for each in answers[2:]] == [7, 0]


def test_evaluate_scores_it_beside_its_members(folder: Path) -> None:
    source = resolve_source(DataRequest(cache=folder / "cache", data=str(folder / "own.csv")))
    found = evaluate.evaluate(folder / "whole", source)
    assert list(found.models) == list(ModelName)
    asked, labels = part(folder, "test")
    (folder / "test.csv").write_bytes(table([(text, str(label)) for text, label in zip(asked, labels, strict=True)]))
    other = resolve_source(DataRequest(cache=folder / "cache", data=str(folder / "test.csv")))
    metrics = VerifiedRun.verify(folder / "whole").metrics
    assert metrics.ensemble is not None
    scored = evaluate.evaluate(folder / "whole", other).models[ModelName.ensemble].all.scores
    assert scored.accuracy == metrics.ensemble.test.accuracy
    assert scored.loss == pytest.approx(metrics.ensemble.test.loss, abs=1e-5)


@pytest.mark.long
def test_models_are_tried_again_where_that_was_ended_from_outside(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "job")
    begun: list[Any] = []

    class Ended(FreshProcess):
        def __init__(self, texts: list[str], folder: Path) -> None:
            super().__init__(texts, folder)
            begun.append(self)
            if len(begun) < 3:
                self._process.kill()

    monkeypatch.setattr(publishing, "FreshProcess", Ended)
    train(folder, tmp_path / "output", 1)
    assert len(begun) == 3
    assert caplog.text.count("the process that tries the exported models was ended by SIGKILL; it is started again") == 2
    assert "exported models loaded in a fresh process" in caplog.text
