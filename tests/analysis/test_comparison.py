"""The paired test, against textbook sums, in its limits, and on simulated experiments whose truth is known."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from job.analysis.comparison import Answers, compare, seeds_needed, verdict


def answers(name: str, *rows: str, has_seeds: bool = True) -> Answers:
    return Answers(name, np.array([[letter == "1" for letter in row] for row in rows]), has_seeds)


A = answers("A", "1111110111", "1111110101", "1111110111")
B = answers("B", "1010010010", "1010010110", "1110111110")


def test_the_difference_and_its_variance_are_those_of_the_textbook() -> None:
    """The parts again by sums over the tables, a cell at a time, as analysis of variance is taught."""
    found = compare(A, B)
    variance = seeds = 0.0
    for each in (A, B):
        y = each.correct.astype(float)
        n, reviews = y.shape
        by_seed = [sum(row) / reviews for row in y]
        by_review = [sum(y[s][i] for s in range(n)) / n for i in range(reviews)]
        mean = sum(by_seed) / n
        rest = sum((y[s][i] - by_seed[s] - by_review[i] + mean) ** 2 for s, i in itertools.product(range(n), range(reviews)))
        seeds += sum((share - mean) ** 2 for share in by_seed) / (n - 1) / n
        variance -= rest / ((n - 1) * (reviews - 1)) / (n * reviews)
    gaps = A.correct.mean(0) - B.correct.mean(0)
    variance += sum((gap - gaps.mean()) ** 2 for gap in gaps) / 9 / 10
    variance += seeds
    assert found.difference == pytest.approx(26 / 30 - 17 / 30)
    assert found.variance.seeds == pytest.approx(seeds)
    assert found.standard_error == pytest.approx(variance**0.5)
    assert found.superiority == pytest.approx(17 / 18)
    assert found.ci95[0] < found.difference < found.ci95[1]


def test_without_chance_in_seeds_it_is_the_paired_test_over_reviews() -> None:
    one, other = answers("A", "1110111011", has_seeds=False), answers("B", "1010010111", has_seeds=False)
    gaps = one.correct[0].astype(float) - other.correct[0]
    found = compare(one, other)
    assert found.standard_error == pytest.approx(stats.sem(gaps))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(gaps.mean() / stats.sem(gaps)))


def test_with_reviews_without_number_it_is_welch_s_test_over_seeds() -> None:
    """Where each seed is right on its share of very many reviews, independently, only the seeds' spread is left."""
    random = np.random.default_rng(0)
    shares = np.array([[0.80, 0.83, 0.78, 0.81], [0.85, 0.88, 0.86, 0.84]])
    tables = [np.stack([random.random(200_000) < share for share in row]) for row in shares]
    found = compare(Answers("A", tables[0]), Answers("B", tables[1]))
    expected = stats.ttest_ind(tables[0].mean(1), tables[1].mean(1), equal_var=False)
    assert found.statistic == pytest.approx(expected.statistic, rel=0.01)
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.05)
    assert found.degrees_of_freedom == pytest.approx(expected.df, rel=0.05)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4), st.integers(2, 12))
def test_it_is_antisymmetric_and_its_numbers_are_in_range(seed: int, m: int, n: int, reviews: int) -> None:
    random = np.random.default_rng(seed)
    one, other = Answers("A", random.random((m, reviews)) < 0.7), Answers("B", random.random((n, reviews)) < 0.6)
    found, back = compare(one, other), compare(other, one)
    assert found.difference == pytest.approx(-back.difference)
    assert found.standard_error == pytest.approx(back.standard_error)
    assert found.p_value is None or 0 <= found.p_value <= 1
    assert found.standard_error**2 >= found.variance.reviews - 1e-12
    assert verdict(one, other, found)


def experiment(random: Any, seeds: int, reviews: int, gap: float) -> tuple[Answers, Answers]:
    """Answers whose chance has every part: reviews that are hard, hard for one architecture, lucky seeds, and the rest."""
    hard = random.normal(0, 1.5, reviews)
    tables = []
    for level in (1.5 + gap, 1.5):
        logits = level + hard + random.normal(0, 1.5, reviews) + random.normal(0, 0.3, (seeds, 1))
        tables.append(logits + random.logistic(size=(seeds, reviews)) * 0.5 > 0)
    return Answers("A", tables[0]), Answers("B", tables[1])


def test_without_a_difference_it_finds_one_in_about_a_twentieth_of_experiments_where_simpler_tests_find_too_many() -> None:
    random = np.random.default_rng(7)
    found = {"ours": 0, "seeds alone": 0, "reviews alone": 0}
    count = 400
    for _ in range(count):
        one, other = experiment(random, 5, 200, 0.0)
        found["ours"] += (compare(one, other).p_value or 0.0) < 0.05
        found["seeds alone"] += stats.ttest_ind(one.accuracies, other.accuracies).pvalue < 0.05
        found["reviews alone"] += stats.ttest_1samp(one.correct.mean(0) - other.correct.mean(0), 0).pvalue < 0.05
    assert 0.02 < found["ours"] / count < 0.075
    assert found["seeds alone"] / count > 0.1
    assert found["reviews alone"] / count > 0.1


def test_it_finds_a_difference_that_is_there() -> None:
    random = np.random.default_rng(8)
    assert sum((compare(*experiment(random, 5, 600, 0.8)).p_value or 0.0) < 0.05 for _ in range(50)) > 45


def test_the_seeds_needed_are_those_of_the_two_sample_t_test() -> None:
    """Of the reference: effect size 1.0 needs 17 in each group (Cohen 1988, table 2.4.1)."""
    assert seeds_needed(1.0, 2.0, 0.0) == 17
    assert seeds_needed(0.01, 2e-6, 0.0) == 2
    # However many seeds: the reviews alone leave more doubt.
    assert seeds_needed(0.005, 1e-6, 0.01**2) is None
    assert seeds_needed(0.005, 0.0, 0.0) == 2


def test_a_verdict_claims_no_more_than_was_found() -> None:
    same = answers("A", "1101"), answers("B", "1101")
    assert (
        verdict(*same, compare(*same))
        == "A and B were right on the same reviews, over 1 seed and 4 test reviews: no difference was seen."
    )
    single = answers("A", "1" * 40), answers("B", "10" * 20)
    assert verdict(*single, compare(*single)).startswith("These two models differ (A was right more often by 50.00 points")
    assert "one seed cannot tell" in verdict(*single, compare(*single))
    random = np.random.default_rng(1)
    close = experiment(random, 3, 300, 0.0)
    assert verdict(*close, compare(*close)).startswith("No difference between A and B was shown")
    assert verdict(*close, compare(*close)).endswith("that does not show that there is none.")
    clear = experiment(random, 5, 2000, 1.5)
    assert verdict(*clear[::-1], compare(*clear[::-1])).startswith("A is more accurate than B (")
