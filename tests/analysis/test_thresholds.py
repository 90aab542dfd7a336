"""Where a probability becomes a label: chosen on validation reviews, counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from job.analysis import scores, thresholds
from job.presets import ThresholdRule

# Rare positives: three of eight.
LABELS = np.array([0, 0, 0, 0, 1, 0, 1, 1])
PREDICTED = np.array([0.05, 0.1, 0.1, 0.15, 0.2, 0.3, 0.35, 0.4], np.float32)
SCORES = {
    ThresholdRule.accuracy: metrics.accuracy_score,
    ThresholdRule.f1: metrics.f1_score,
    ThresholdRule.balanced: metrics.balanced_accuracy_score,
}


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        # Above 0.325 one positive is missed, above 0.175 one negative is named: 7 of 8 each, and 0.325 is nearer one half.
        (ThresholdRule.accuracy, 0.325),
        # F1 is 0.8 and 6/7, balanced accuracy 5/6 and 0.9.
        (ThresholdRule.f1, 0.175),
        (ThresholdRule.balanced, 0.175),
    ],
)
def test_the_rule_s_score_is_largest_at_the_threshold(rule: ThresholdRule, value: float) -> None:
    assert thresholds.best(rule, LABELS, PREDICTED) == pytest.approx(value)


def test_of_equally_good_thresholds_the_one_nearest_to_one_half_is_taken_and_one_half_itself_where_it_is_one() -> None:
    best = thresholds.best
    assert best(ThresholdRule.accuracy, np.array([0, 1]), np.array([0.1, 0.7], np.float32)) == 0.5
    # Both are wrong: naming neither and naming both are equally good, 0.7 is as far from one half as 0.3.
    assert best(ThresholdRule.accuracy, np.array([1, 0]), np.array([0.4, 0.6], np.float32)) == pytest.approx(0.2)
    assert best(ThresholdRule.balanced, np.array([1, 0]), np.array([0.5, 0.5], np.float32)) == 0.5


@settings(deadline=None)
@given(
    st.sampled_from(list(ThresholdRule)),
    st.lists(st.tuples(st.booleans(), st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.5, 1.0]))), max_size=12),
)
def test_no_other_threshold_is_better_and_none_as_good_is_nearer(rule: ThresholdRule, drawn: list[tuple[bool, float]]) -> None:
    reviews = [*drawn, (True, 0.625), (False, 0.375)]
    labels = np.array([label for label, _ in reviews]).astype(int)
    predicted = np.array([value for _, value in reviews], np.float32)

    def quality(threshold: float) -> float:
        return float(SCORES[rule](labels, scores.is_positive(predicted, threshold)))

    chosen = thresholds.best(rule, labels, predicted)
    assert 0 <= chosen <= 1
    # Between two of these every threshold labels alike.
    others = [0.0, 0.5, 1.0, *predicted.tolist()]
    assert quality(chosen) >= max(map(quality, others)) - 1e-12
    if quality(0.5) >= quality(chosen) - 1e-12:
        assert chosen == 0.5


def test_the_scores_at_a_threshold_stand_beside_it() -> None:
    logits = np.log(PREDICTED / (1 - PREDICTED))
    found = thresholds.decide(ThresholdRule.f1, (LABELS, logits), (np.array([1, 0]), np.array([-1.0, -2.0], np.float32)))
    assert found.rule is ThresholdRule.f1
    assert found.value == pytest.approx(0.175)
    assert found.validation is not None
    assert found.validation.f1 == pytest.approx(6 / 7)
    assert (found.test.accuracy, found.test.recall) == (1.0, 1.0)
    # What does not depend on it is as ever.
    assert found.validation.auc == scores.score(LABELS, logits).auc
    given = thresholds.decide(0.9, (np.empty(0, int), np.empty(0, np.float32)), (LABELS, logits))
    assert (given.rule, given.value, given.validation) == ("given", 0.9, None)
    assert (given.test.recall, given.test.accuracy) == (0.0, 5 / 8)


def test_probabilities_are_compared_with_the_threshold_in_float32() -> None:
    # In float64 the float32 next to 0.1 is above 0.1.
    assert scores.is_positive(np.array([0.1, 0.2], np.float32), 0.1).tolist() == [False, True]
