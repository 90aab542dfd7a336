"""What the models of a run say together, and what is said of it."""

from typing import Any

import numpy as np
import pytest

from job.analysis import ensemble
from job.output.ensemble import compile_ensemble, is_best
from job.output.results import BaselineResult, EnsembleResult, LinearWeights, TrialResult, Trials, weights_of_safetensors
from job.presets import Architecture, ModelName, ThresholdRule
from job.records.comparison import Comparison
from job.records.trials import BaselineRecord, Scores
from tests.output.test_folder import record

SCORES = Scores(accuracy=0.5, loss=0.1, auc=None, f1=0.5, brier=0.1)
LABELS = (np.arange(400) % 2).astype(np.int8)


def said(seed: int, noise: float = 2.0) -> Any:
    """Probabilities that are right more often than not, each in its own way."""
    logits = (2.0 * LABELS - 1) + np.random.default_rng(seed).normal(0, noise, 400)
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def result(seed: int, test: Any, validation: Any, weights: Any = None) -> TrialResult:
    return TrialResult(record(seed).but(test=SCORES), [], test, weights, None, validation)


def baseline(test: Any, validation: Any) -> BaselineResult:
    made = BaselineRecord(name="", features=1, train_reviews=1, test=SCORES, seconds=1.0)
    return BaselineResult(made, test, None, validation)


def some_trials(diverged: int | None = None) -> Trials:
    trials = Trials()
    for name, first in ((Architecture.rnn, 10), (Architecture.lstm, 20)):
        for seed in range(2):
            trials.add(name, result(seed, said(first + seed), said(100 + first + seed)))
    if diverged is not None:
        nothing = np.empty(0, np.float32)
        gone = TrialResult(record(diverged).but(status="diverged", diverged="where"), [], nothing, None)
        trials.add(Architecture.lstm, gone)
    return trials


def compiled(trials: Trials, rule: ThresholdRule | float = 0.5) -> EnsembleResult:
    found = compile_ensemble(trials, baseline(said(30), said(130)), LABELS, LABELS, rule)
    assert found is not None
    return found


def test_it_is_the_weighted_mean_of_networks_mean_votes_and_the_baseline_s() -> None:
    found = compiled(some_trials())
    assert [(each.name, each.seeds) for each in found.record.members] == [("rnn", [0, 1]), ("lstm", [0, 1]), ("baseline", [])]
    for probabilities, first in ((found.probabilities, 0), (found.validation, 100)):
        votes = [
            (ensemble.votes(said(first + 10)) + ensemble.votes(said(first + 11))) / 2,
            (ensemble.votes(said(first + 20)) + ensemble.votes(said(first + 21))) / 2,
            ensemble.votes(said(first + 30)),
        ]
        total = sum(each.weight * vote for each, vote in zip(found.record.members, votes, strict=True))
        np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-total)), atol=1e-6)
    assert sum(each.weight for each in found.record.members) == pytest.approx(1, abs=0.002)
    right = (found.probabilities > 0.5) == (LABELS == 1)
    assert found.record.test.accuracy == right.mean()
    assert found.record.validation.accuracy == np.mean((found.validation > 0.5) == (LABELS == 1))
    low, high = found.record.ci95
    assert low < right.mean() < high
    assert list(found.record.comparisons) == ["rnn", "lstm", "baseline"]
    alone = np.mean((said(30) > 0.5) == (LABELS == 1))
    assert found.record.comparisons[ModelName.baseline].difference == pytest.approx(right.mean() - alone)
    assert found.record.verdict.startswith("The ensemble against the SimpleRNN (+")
    assert found.record.verdict.endswith(" points).") or found.record.verdict.endswith("no difference that was seen).")


def test_a_diverged_seed_is_no_member_nor_is_one_beyond_the_first_ones() -> None:
    whole = compiled(some_trials())
    trials = some_trials(diverged=2)
    trials.add(Architecture.rnn, result(ensemble.SEEDS, said(40, 0.1), said(140, 0.1)))
    found = compiled(trials)
    assert found.record.members == whole.record.members
    np.testing.assert_array_equal(found.probabilities, whole.probabilities)
    assert found.record.comparisons[ModelName.rnn] != whole.record.comparisons[ModelName.rnn]


def test_a_member_without_weight_is_named_with_weight_0() -> None:
    trials = some_trials()
    for seed in range(2):
        trials.add(Architecture.rnn, result(seed, said(seed), 1 - said(seed)))
    weights = {each.name: each.weight for each in compiled(trials).record.members}
    assert weights[ModelName.rnn] == 0
    assert weights[ModelName.lstm] + weights[ModelName.baseline] == pytest.approx(1, abs=0.001)


def test_without_validation_reviews_or_a_second_member_there_is_none() -> None:
    nothing, no_labels = np.empty(0, np.float32), np.empty(0, np.int8)
    trials = Trials()
    trials.add(Architecture.rnn, result(0, said(1), nothing))
    assert compile_ensemble(trials, baseline(said(2), nothing), LABELS, no_labels, 0.5) is None
    # Results of an earlier version, which kept nothing of validation.
    assert compile_ensemble(trials, baseline(said(2), said(3)), LABELS, LABELS, 0.5) is None
    assert compile_ensemble(Trials(), baseline(said(2), said(3)), LABELS, LABELS, 0.5) is None
    lost = Trials()
    lost.add(Architecture.rnn, TrialResult(record(0).but(status="diverged", diverged="where"), [], nothing, None))
    assert compile_ensemble(lost, baseline(said(2), said(3)), LABELS, LABELS, 0.5) is None


def test_its_threshold_is_chosen_as_the_networks_are() -> None:
    assert compiled(some_trials(), 0.3).record.threshold.value == 0.3
    found = compiled(some_trials(), ThresholdRule.accuracy).record
    assert found.threshold.validation is not None
    assert found.threshold.validation.accuracy >= found.validation.accuracy


def comparison(difference: float, p_value: float | None) -> Comparison:
    unknown: Any = dict.fromkeys(Comparison.model_fields)
    known = {"difference": difference, "p_value": p_value, "standard_error": 0.1, "ci95": (-1.0, 1.0), "test": "a test"}
    return Comparison(**unknown | known | {"variance": {"seeds": None, "reviews": 0.1}})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(0.01, 0.01), (0.02, 0.049)], True),
        ([(0.01, 0.01), (0.02, 0.05)], False),
        ([(0.01, 0.01), (-0.02, 0.01)], False),
        ([(0.01, 0.01), (0.0, None)], False),
    ],
)
def test_it_is_the_best_where_it_is_significantly_better_than_each_member(
    found: list[tuple[float, float | None]], expected: bool
) -> None:
    made = compiled(some_trials()).record
    names = (ModelName.rnn, ModelName.baseline)
    comparisons = {name: comparison(*each) for name, each in zip(names, found, strict=True)}
    assert is_best(made.but(comparisons=comparisons)) is expected


def test_the_members_weights_come_back_from_their_file() -> None:
    trials, expected = Trials(), {}
    for name in Architecture:
        for seed in (0, ensemble.SEEDS - 1, ensemble.SEEDS):
            # More than ten, so that their order is not that of the shortest names.
            weights = [np.full((2, number + 1), seed + number, np.float32) for number in range(12)]
            trials.add(name, result(seed, said(seed), said(seed), weights))
            expected[str(name), seed] = weights
    found = weights_of_safetensors(trials.weights_to_safetensors())
    assert set(found) == {key for key in expected if key[1] < ensemble.SEEDS}
    for key, arrays in found.items():
        for one, other in zip(arrays, expected[key], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("has_trigrams", [True, False])
def test_a_linear_model_s_weights_come_back_those_of_before_without_triples(has_trigrams: bool) -> None:
    weights = LinearWeights(
        bias=np.array([0.5], np.float32), words=np.array([0, 0, 0, 0, 1], np.float32), bigrams=np.array([29]),
        bigram_weights=np.array([2], np.float32), vocabulary_size=np.array([6]), trigrams=np.array([179]), trigram_weights=np.array([3], np.float32),
    )  # fmt: skip
    content = weights.to_safetensors()
    if not has_trigrams:
        from safetensors.numpy import load, save

        content = bytes(save({name: array for name, array in load(content).items() if not name.startswith("tri")}))
    again = LinearWeights.of_safetensors(content)
    assert again.by_feature().tolist() == [0, 0, 0, 0, 1, 0, 2, *([3] if has_trigrams else [])]
    made = BaselineRecord(name="", features=1, train_reviews=1, test=SCORES, seconds=1.0)
    kept = BaselineResult.of_snapshot(BaselineResult(made, said(0), weights, said(1)).to_snapshot())
    assert kept.weights is not None
    assert kept.weights.trigrams.tolist() == [179]
    np.testing.assert_array_equal(kept.validation, said(1))
