import numpy as np
import pytest

from job.analysis import scores as evaluation

LABELS = np.array([1, 1, 0, 0])


def test_scores_of_four_reviews() -> None:
    scores = evaluation.scores(LABELS, np.array([2.0, -1.0, -2.0, -3.0], np.float32))
    assert scores["accuracy"] == 0.75
    assert scores["auc"] == 1.0
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["loss"] == pytest.approx(
        np.mean([np.log1p(np.exp(-2)), np.log1p(np.exp(1)), np.log1p(np.exp(-2)), np.log1p(np.exp(-3))])
    )


def test_a_sure_mistake_keeps_its_loss() -> None:
    assert evaluation.losses(np.array([1]), np.array([-300.0], np.float32)) == (300.0, 0.0)


def test_a_summary_has_the_interval_of_student_s_t() -> None:
    summary = evaluation.summarize([0.5, 0.6, 0.7])
    assert summary["mean"] == pytest.approx(0.6)
    assert summary["sd"] == pytest.approx(0.1)
    # 4.302653 is the 97.5 % quantile of t with two degrees of freedom.
    assert summary["ci95"] == pytest.approx([0.6 - 4.302653 * 0.1 / 3**0.5, 0.6 + 4.302653 * 0.1 / 3**0.5], abs=1e-6)


def test_one_seed_has_no_spread_and_none_no_mean() -> None:
    assert evaluation.summarize([0.5]) == {"mean": 0.5, "sd": None, "ci95": None}
    assert evaluation.summarize([]) == {"mean": None, "sd": None, "ci95": None}


def test_an_area_that_rounds_to_more_than_1_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    # Seen with 20,000 reviews that were all told apart.
    monkeypatch.setattr("sklearn.metrics.roc_auc_score", lambda *_: 1.0000000000000002)
    assert evaluation.scores(LABELS, np.array([2.0, -1.0, -2.0, -3.0], np.float32))["auc"] == 1.0


def test_calibration_tells_for_each_tenth_what_was_said_and_what_was_true() -> None:
    found = evaluation.calibration(np.array([1, 0, 1, 1]), np.array([0.05, 0.09, 0.95, 1.0], np.float32))
    assert [each["from"] for each in found["bins"]] == [0.0, 0.9]
    low, high = found["bins"]
    assert (low["reviews"], low["observed"], high["reviews"], high["observed"]) == (2, 0.5, 2, 1.0)
    assert (low["predicted"], high["predicted"]) == (pytest.approx(0.07), pytest.approx(0.975))
    assert found["expected_calibration_error"] == pytest.approx((2 * 0.43 + 2 * 0.025) / 4)


def test_the_brier_score_is_the_mean_squared_distance() -> None:
    scores = evaluation.scores(LABELS, np.array([0.0, 0.0, 0.0, 0.0], np.float32))
    assert scores["brier"] == 0.25
