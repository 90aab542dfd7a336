import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from job.analysis import intervals, scores
from job.records.trials import Scores, Summary

LABELS = np.array([1, 1, 0, 0])


def test_scores_of_four_reviews() -> None:
    found = scores.score(LABELS, np.array([2.0, -1.0, -2.0, -3.0], np.float32))
    assert found.accuracy == 0.75
    assert found.auc == 1.0
    assert found.f1 == pytest.approx(2 / 3)
    assert (found.precision, found.recall, found.balanced_accuracy, found.average_precision) == (1.0, 0.5, 0.75, 1.0)
    assert found.loss == pytest.approx(
        np.mean([np.log1p(np.exp(-2)), np.log1p(np.exp(1)), np.log1p(np.exp(-2)), np.log1p(np.exp(-3))])
    )


def test_average_precision_is_the_mean_precision_at_the_positive_reviews() -> None:
    # By falling logit: positive (1 of 1), negative, positive (2 of 3), negative.
    found = scores.score(LABELS, np.array([2.0, -1.0, 1.0, -3.0], np.float32))
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert (found.precision, found.recall, found.balanced_accuracy) == (0.5, 0.5, 0.5)


def test_where_nothing_is_said_to_be_positive_precision_is_0_and_of_one_class_there_is_no_balanced_accuracy() -> None:
    none_said = scores.score(LABELS, np.full(4, -1.0, np.float32))
    assert (none_said.precision, none_said.recall, none_said.balanced_accuracy) == (0.0, 0.0, 0.5)
    one_class = scores.score(np.array([1, 1]), np.array([1.0, -1.0], np.float32))
    assert (one_class.precision, one_class.recall) == (1.0, 0.5)
    assert (one_class.balanced_accuracy, one_class.average_precision) == (None, None)


@pytest.mark.parametrize(
    ("training", "label", "share", "accuracy"),
    [([1, 1, 1, 0], "positive", 0.75, 0.4), ([0, 0, 1], "negative", 2 / 3, 0.6), ([0, 1], "positive", 0.5, 0.4)],
)
def test_the_majority_is_the_training_part_s_and_its_accuracy_the_test_part_s(
    training: list[int], label: str, share: float, accuracy: float
) -> None:
    found = scores.majority(np.array(training), np.array([1, 0, 0, 1, 0]))
    assert (str(found.label), found.test_accuracy) == (label, accuracy)
    assert found.train_share == pytest.approx(share)


def test_balanced_weights_make_both_classes_count_the_same() -> None:
    # Four reviews over twice one, and over twice three.
    assert scores.balanced_weights(np.array([1, 1, 0, 1], np.int8)) == pytest.approx((2.0, 2 / 3))
    labels, logits = np.array([1, 1, 0, 1]), np.array([0.0, 0.0, 0.0, 3.0], np.float32)
    loss, accuracy = scores.losses(labels, logits, (2.0, 2 / 3))
    assert loss == pytest.approx((2 * np.log(2) * 2 / 3 + 2 * np.log(2) + np.log1p(np.exp(-3)) * 2 / 3) / 4)
    assert accuracy == 0.5


def test_a_mean_of_scores_is_of_those_that_all_have() -> None:
    old = Scores(accuracy=0.5, loss=0.1, auc=None, f1=0.5, brier=0.1)
    new = Scores(accuracy=1.0, loss=0.3, auc=0.5, f1=1.0, brier=0.1, precision=1.0, recall=1.0)
    assert scores.mean_scores([old, new]).to_values() == {"accuracy": 0.75, "loss": 0.2, "auc": None, "f1": 0.75, "brier": 0.1}
    assert scores.mean_scores([new, new]).precision == 1.0


def test_a_sure_mistake_keeps_its_loss() -> None:
    assert scores.losses(np.array([1]), np.array([-300.0], np.float32)) == (300.0, 0.0)


def test_a_summary_has_the_interval_of_student_s_t() -> None:
    summary = intervals.summarize([0.5, 0.6, 0.7])
    assert summary.mean == pytest.approx(0.6)
    assert summary.sd == pytest.approx(0.1)
    # 4.302653 is the 97.5 % quantile of t with two degrees of freedom.
    assert summary.ci95 == pytest.approx([0.6 - 4.302653 * 0.1 / 3**0.5, 0.6 + 4.302653 * 0.1 / 3**0.5], abs=1e-6)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        # In the middle as Student's t has it (0.8926 to 0.9174), near the end not beyond it (0.9103 to 1.0097).
        ([0.9, 0.91, 0.905], 0.8922, 0.9171),
        ([0.94, 0.96, 0.98], 0.8961, 0.9944),
        ([1.0, 1.0, 0.98], 0.9349, 1.0),
        ([0.0, 1.0], 0.0, 1.0),
        ([1.0, 1.0], 1.0, 1.0),
    ],
)
def test_the_interval_of_an_accuracy_over_seeds_stays_within_0_and_1(values: list[float], low: float, high: float) -> None:
    assert intervals.summarize_shares(values).ci95 == pytest.approx((low, high), abs=1e-4)
    assert intervals.summarize_shares(values).sd == intervals.summarize(values).sd
    assert intervals.summarize_shares(values[:1]) == Summary(mean=values[0], sd=None, ci95=None)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_an_interval_of_shares_lies_in_0_to_1_holds_the_mean_and_narrows_with_more_of_the_same_seeds(
    values: list[float],
) -> None:
    found, more = intervals.summarize_shares(values), intervals.summarize_shares(values * 4)
    assert found.mean is not None and found.ci95 is not None and more.ci95 is not None
    (low, high), (higher, lower) = found.ci95, more.ci95
    assert 0 <= low <= found.mean <= high <= 1
    assert low - 1e-9 <= higher <= lower <= high + 1e-9


def test_the_interval_of_a_mean_of_two_shares_is_made_of_their_wilson_intervals() -> None:
    # 90 of 100 has 0.8256 to 0.9448, 3 of 10 has 0.1078 to 0.6032: 0.6 less the root of 0.0744² + 0.1922², halved, and so on.
    assert intervals.mean_of_shares((90, 100), (3, 10)) == pytest.approx((0.4970, 0.7533), abs=1e-4)
    assert intervals.mean_of_shares((5, 5), (5, 5))[1] == 1.0


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
    said, hits = int((predicted > 0.5).sum()), int(((predicted > 0.5) & (labels == 1)).sum())
    for key, of in (("precision", said), ("recall", 40)):
        expected = stats.binomtest(hits, of).proportion_ci(method="wilson")
        assert found.ci95[key] == pytest.approx((expected.low, expected.high))
        assert getattr(found.scores, key) == hits / of
    balanced = found.ci95["balanced_accuracy"]
    assert balanced is not None and found.scores.balanced_accuracy is not None
    assert balanced[0] < found.scores.balanced_accuracy < balanced[1]
    assert (found.ci95["f1"], found.ci95["average_precision"]) == (None, None)
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
