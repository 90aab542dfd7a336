import numpy as np
import pytest
from scipy import stats

from job.analysis import intervals, scores
from job.records.trials import Summary

LABELS = np.array([1, 1, 0, 0])


def test_scores_of_four_reviews() -> None:
    found = scores.score(LABELS, np.array([2.0, -1.0, -2.0, -3.0], np.float32))
    assert found.accuracy == 0.75
    assert found.auc == 1.0
    assert found.f1 == pytest.approx(2 / 3)
    assert found.loss == pytest.approx(
        np.mean([np.log1p(np.exp(-2)), np.log1p(np.exp(1)), np.log1p(np.exp(-2)), np.log1p(np.exp(-3))])
    )


def test_a_sure_mistake_keeps_its_loss() -> None:
    assert scores.losses(np.array([1]), np.array([-300.0], np.float32)) == (300.0, 0.0)


def test_a_summary_has_the_interval_of_student_s_t() -> None:
    summary = intervals.summarize([0.5, 0.6, 0.7])
    assert summary.mean == pytest.approx(0.6)
    assert summary.sd == pytest.approx(0.1)
    # 4.302653 is the 97.5 % quantile of t with two degrees of freedom.
    assert summary.ci95 == pytest.approx([0.6 - 4.302653 * 0.1 / 3**0.5, 0.6 + 4.302653 * 0.1 / 3**0.5], abs=1e-6)


def test_one_seed_has_no_spread_and_none_no_mean() -> None:
    assert intervals.summarize([0.5]) == Summary(mean=0.5, sd=None, ci95=None)
    assert intervals.summarize([]) == Summary(mean=None, sd=None, ci95=None)


def test_an_area_that_rounds_to_more_than_1_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    # Seen with 20,000 reviews that were all told apart.
    monkeypatch.setattr("sklearn.metrics.roc_auc_score", lambda *_: 1.0000000000000002)
    assert scores.score(LABELS, np.array([2.0, -1.0, -2.0, -3.0], np.float32)).auc == 1.0


def test_calibration_tells_for_each_tenth_what_was_said_and_what_was_true() -> None:
    found = scores.calibration(np.array([1, 0, 1, 1]), np.array([0.05, 0.09, 0.95, 1.0], np.float32))
    assert [each.start for each in found.bins] == [0.0, 0.9]
    low, high = found.bins
    assert (low.reviews, low.observed, high.reviews, high.observed) == (2, 0.5, 2, 1.0)
    assert (low.predicted, high.predicted) == pytest.approx((0.07, 0.975))
    assert found.expected_calibration_error == pytest.approx((2 * 0.43 + 2 * 0.025) / 4)


def test_the_brier_score_is_the_mean_squared_distance() -> None:
    found = scores.score(LABELS, np.array([0.0, 0.0, 0.0, 0.0], np.float32))
    assert found.brier == 0.25


def test_intervals_are_the_textbook_s() -> None:
    labels = np.array([1] * 40 + [0] * 60)
    random = np.random.default_rng(0)
    predicted = np.clip(labels * 0.3 + 0.35 + random.normal(0, 0.2, 100), 0.01, 0.99).astype(np.float32)
    found = scores.with_intervals(labels, predicted)
    right = (predicted > 0.5) == (labels == 1)
    expected = stats.binomtest(int(right.sum()), 100).proportion_ci(method="wilson")
    assert found.ci95["accuracy"] == pytest.approx((expected.low, expected.high))
    squares = (predicted - labels) ** 2
    brier, auc = found.ci95["brier"], found.ci95["auc"]
    assert brier is not None and auc is not None
    assert found.scores.brier == pytest.approx(squares.mean())
    assert brier[1] - brier[0] == pytest.approx(2 * 1.96 * stats.sem(squares))
    # DeLong's variance, pair by pair.
    positive, negative = predicted[labels == 1], predicted[labels == 0]
    wins = (positive[:, None] > negative[None]) + 0.5 * (positive[:, None] == negative[None])
    error = (wins.mean(1).var(ddof=1) / 40 + wins.mean(0).var(ddof=1) / 60) ** 0.5
    assert found.scores.auc == pytest.approx(wins.mean())
    assert auc[0] == pytest.approx(wins.mean() - 1.96 * error)


def test_of_one_class_there_is_no_area_under_the_curve() -> None:
    found = scores.with_intervals(np.array([1, 1, 1]), np.array([0.2, 0.9, 1.0], np.float32))
    assert (found.scores.auc, found.ci95["auc"]) == (None, None)
    assert found.scores.accuracy == pytest.approx(2 / 3)
