"""Texts without labels: a teacher guesses, networks learn from the guesses, and a kill costs nothing."""

import csv
import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from job.analysis import ensemble
from job.config import Request, fingerprint, resolve
from job.data.reviews import Reviews
from job.errors import ConfigurationError
from job.machine import signals
from job.output.results import Teaching, TrialResult, Trials
from job.output.selftraining import compile_selftraining
from job.presets import Architecture, ModelName, PresetName
from job.records.ensemble import EnsembleMember
from job.records.selftraining import LabelsAlone
from job.training import selftraining
from job.training.work import Judge
from tests.conftest import table, train_here
from tests.data.samples import tiny
from tests.output.test_folder import record
from tests.output.test_metrics import SCORES

GOOD, BAD = ("superb", "lovely", "fine", "bright"), ("awful", "dreadful", "poor", "dull")


def labelled(count: int = 240) -> list[tuple[str, str]]:
    random = np.random.default_rng(0)
    values = []
    for number in range(count):
        side = number % 2
        words = random.choice((BAD, GOOD)[side], 2).tolist() + [f"scene{random.integers(20)}" for _ in range(4)]
        values.append((" ".join([*words, f"n{number}"]), ("neg", "pos")[side]))
    return values


def write(folder: Path) -> dict[str, Any]:
    """Labelled texts, and others of the same kind without labels; as options of a request."""
    (folder / "labelled.csv").write_bytes(table(labelled()))
    texts = [(f"{text} again {number}",) for number, (text, _) in enumerate(labelled(130))]
    (folder / "others.csv").write_bytes(table(texts, header=("text",)))
    return {"data": str(folder / "labelled.csv"), "unlabelled": str(folder / "others.csv")}


def train(output: Path, options: dict[str, Any], seeds: int = 1) -> Any:
    return train_here(output, output.parent / "cache", seeds, options=options, epochs=2, batch_size=16, max_tokens=12)


@pytest.fixture(scope="module", autouse=True)
def _all_teach() -> Iterator[None]:
    """These networks are too small to earn a weight; here they have one."""

    def choose(labels: Any, members: Any) -> dict[str, float]:
        return dict(zip(members, (0.25, 0.25, 0.5), strict=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selftraining, "ensemble", SimpleNamespace(votes=ensemble.votes, choose=choose))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Any]:
    """A run's folder, the options of its data, and its metrics.json; two seeds at once."""
    folder = tmp_path_factory.mktemp("taught")
    options = write(folder)
    return folder / "output", options, train(folder / "output", options, seeds=2)


def lines(output: Path) -> list[dict[str, str]]:
    with (output / "predictions.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def without_times(metrics: Any) -> Any:
    if isinstance(metrics, dict):
        kept = {name: each for name, each in metrics.items() if name not in ("seconds", "tokens_per_second")}
        return {name: without_times(each) for name, each in kept.items()}
    return [without_times(each) for each in metrics] if isinstance(metrics, list) else metrics


def test_a_run_tells_of_its_teacher_and_of_what_the_texts_brought(run: tuple[Path, dict[str, Any], Any]) -> None:
    output, _, metrics = run
    told = metrics["self_training"]
    assert (told["texts"], metrics["data"]["unlabelled_reviews"]) == (130, 130)
    # Both networks teach, though one alone is trained.
    assert [each["name"] for each in told["teacher"]] == ["rnn", "lstm", "baseline"]
    assert [each["weight"] for each in told["teacher"]] == [0.25, 0.25, 0.5]
    assert set(told["labels_alone"]) == {"rnn", "lstm"}
    assert set(told["gains"]) == {"rnn"}
    alone, taught = told["labels_alone"]["rnn"]["test"]["accuracy"], metrics["architectures"]["rnn"]["summary"]["test_accuracy"]
    assert told["gains"]["rnn"]["difference"] == pytest.approx(taught["mean"] - alone)
    assert told["verdict"].startswith("130 texts without labels brought the SimpleRNN ")
    tests = metrics["data"]["test_reviews"]
    counted = Counter((line["architecture"], line["seed"]) for line in lines(output))
    assert counted == dict.fromkeys(
        [("rnn", "0"), ("rnn", "1"), ("baseline", "0"), ("ensemble", "0"), ("teacher-rnn", "0"), ("teacher-lstm", "0")], tests
    )
    assert "labels alone" in (output / "report.html").read_text()
    purposes = [look["for"] for look in json.loads((output / "run.json").read_text())["test_set_looks"]]
    assert purposes[:2] == ["scores of teacher rnn, seed 0", "scores of teacher lstm, seed 0"]


def test_a_seed_that_is_added_later_has_the_same_teacher(run: tuple[Path, dict[str, Any], Any], tmp_path: Path) -> None:
    _, options, at_once = run
    first = train(tmp_path / "output", options)
    later = train(tmp_path / "output", options, seeds=2)
    assert first["self_training"]["guesses_sha256"] == at_once["self_training"]["guesses_sha256"]
    assert without_times(later) == without_times(at_once)
    assert lines(tmp_path / "output") == lines(run[0])


def test_a_run_that_is_stopped_amid_the_teacher_s_guesses_ends_as_another_one(
    run: tuple[Path, dict[str, Any], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, options, at_once = run
    monkeypatch.setattr(selftraining, "_BLOCK", 40)
    judged: list[int] = []
    judge = Judge.do

    def counted(self: Judge, *arguments: Any) -> Any:
        judged.append(len(self.places))
        if len(judged) == 3:
            raise signals.Interrupted(signal.SIGTERM)
        return judge(self, *arguments)

    monkeypatch.setattr(Judge, "do", counted)
    with pytest.raises(signals.Interrupted):
        train(tmp_path / "output", options, seeds=2)
    assert judged == [40, 40, 40]
    assert not (tmp_path / "output" / "metrics.json").exists()
    resumed = train(tmp_path / "output", options, seeds=2)
    # What had been judged is not judged again: the third block, the last one, and all of the other network's.
    assert judged[3:] == [40, 10, 40, 40, 40, 10]
    assert without_times(resumed) == without_times(at_once)
    assert lines(tmp_path / "output") == lines(run[0])


def test_guesses_are_trained_on_beside_the_labels_and_never_scored() -> None:
    corpus = tiny([[1, 4], [1, 5], [1, 6], [1, 7]], labels=[1, 0, 1, 0], parts=[0, 1, 0, 3])
    train = Reviews(corpus, np.array([0, 2]), 9)
    taught = train.with_guesses(np.array([0.5, 0.5, 0.5, 0.75], np.float32))
    assert taught.indices.tolist() == [0, 2, 3]
    assert taught.targets.tolist() == [1.0, 1.0, 0.75]
    assert train.targets.tolist() == [1.0, 1.0]
    assert taught.batch(np.array([2, 0])).labels.tolist() == [0.75, 1.0]


def requested(preset: PresetName, **options: Any) -> Any:
    return resolve(Request(preset=preset, data="a.csv", **options))


def test_the_teacher_is_the_preset_s_own_networks_whatever_is_trained() -> None:
    plain, semi = requested(PresetName.standard), requested(PresetName.semi, unlabelled="b.csv")
    assert plain.teachers == {}
    assert semi.teachers == plain.hyperparameters
    part = requested(PresetName.semi, unlabelled="b.csv", architecture=[Architecture.rnn], seeds=2, shard="1/2")
    assert part.teachers == semi.teachers
    assert list(part.hyperparameters) == [Architecture.rnn]
    narrow = requested(PresetName.standard, unlabelled="b.csv", hyperparameters={"units": 7})
    assert [each.units for each in narrow.teachers.values()] == [7, 7]
    identities = [each.identity("0" * 64) for each in (plain, replace(plain, teachers=semi.teachers))]
    assert fingerprint(identities[0]) != fingerprint(identities[1])


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        (PresetName.semi, {}, "--preset semi: learns from texts without labels, too; name them with --unlabelled"),
        (PresetName.seed, {"unlabelled": "b.csv"}, "--unlabelled: a teacher is weighed on validation reviews"),
    ],
)
def test_what_cannot_be_taught_is_refused(preset: PresetName, options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        requested(preset, **options)
    assert ConfigurationError.exit_code == 78


def test_a_gain_is_that_over_the_teacher_s_own_network() -> None:
    labels = np.array([0, 1] * 50, np.int8)
    trials = Trials()
    for seed, wrong in enumerate((4, 6)):
        right = np.abs(labels - 0.1).astype(np.float32)
        right[:wrong] = 1 - right[:wrong]
        trials.add(Architecture.rnn, TrialResult(record(seed).but(test=SCORES), [], right, []))
    before = np.abs(labels - 0.1).astype(np.float32)
    before[:20] = 1 - before[:20]
    alone = LabelsAlone(seed=0, validation=SCORES, test=SCORES)
    teaching = Teaching(
        7, [EnsembleMember(name=ModelName.rnn, seeds=[0], weight=1.0)], "0" * 64, {Architecture.rnn: (alone, before)}
    )
    found = compile_selftraining(teaching, trials, labels)
    assert found.gains[Architecture.rnn].difference == pytest.approx(0.15)
    assert found.verdict == "7 texts without labels brought the SimpleRNN +15.00 points."
