"""The linear model on n-grams: its ratios by hand, its fit as scikit-learn's."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from job.data import ngrams
from job.data.ngrams import Ngrams
from job.data.reviews import Reviews
from job.presets import ClassWeight
from job.training import linear
from tests.data.samples import tiny

REVIEWS = [[1, 4, 5], [1, 4], [1, 5, 5], [1, 8]]
PAIR = Ngrams(7, np.array([4 * 7 + 5]), np.empty(0, np.int64))


def view(reviews: list[list[int]], labels: list[int], size: int = 7) -> Reviews:
    return Reviews(tiny(reviews, labels), np.arange(len(reviews)), size)


def test_a_ratio_is_the_logarithm_of_smoothed_shares() -> None:
    reviews = view(REVIEWS[:3], [1, 1, 0])
    found = linear.log_count_ratios(ngrams.presence(reviews, PAIR), reviews.labels)
    # Ids 0 to 6 and the bigram. Positive: 2 + 1, 1 + 1 and, of the bigram, 1 + 1 of 4 + 8; negative: of 1 + 8.
    positive, negative = np.ones(8) / 12, np.ones(8) / 9
    positive[[4, 5, 7]] = np.array([3, 2, 2]) / 12
    negative[5] = 2 / 9
    # What is nowhere counts for nothing.
    positive[[0, 1, 2, 3, 6]] = negative[[0, 1, 2, 3, 6]]
    np.testing.assert_allclose(found, np.log(positive / negative), rtol=1e-6)
    assert found.dtype == np.float32


def test_a_feature_of_less_reviews_counts_for_nothing() -> None:
    reviews = view(REVIEWS[:3], [1, 1, 0])
    present = ngrams.presence(reviews, PAIR)
    expected = [0, 0, 0, 0, np.log((3 / 12) / (1 / 9)), np.log((2 / 12) / (2 / 9)), 0, 0]
    np.testing.assert_allclose(linear.log_count_ratios(present, reviews.labels, 2), expected, rtol=1e-6)
    assert linear.log_count_ratios(present, reviews.labels, 3).tolist() == [0.0] * 8
    assert linear.fit(present, reviews.labels, PAIR, 1.0, ClassWeight.none, 2).weights[[0, 6, 7]].tolist() == [0, 0, 0]


@pytest.mark.parametrize("class_weight", list(ClassWeight))
@pytest.mark.parametrize(("inverse_penalty", "least"), [(0.3, 1), (1.0, 2)])
def test_the_fit_is_scikit_learn_s_on_the_same_matrix(inverse_penalty: float, least: int, class_weight: ClassWeight) -> None:
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    labels = (random.random(120) < 0.3).astype(int).tolist()
    texts = [[1, *random.integers(4, 12, 8).tolist(), 12 + label * int(random.integers(0, 2))] for label in labels]
    reviews = view(texts, labels, 14)
    features = ngrams.frequent(reviews, 20, 20)
    assert (len(features.bigrams), len(features.trigrams)) == (20, 20)
    present = ngrams.presence(reviews, features)
    found = linear.fit(present, reviews.labels, features, inverse_penalty, class_weight, least)
    ratios = linear.log_count_ratios(present, reviews.labels, least)
    np.testing.assert_array_equal(found.ratios, ratios)
    # Another solver of the same problem, whose intercept is penalized as liblinear's is: one column of ones.
    matrix = np.column_stack([present.toarray() * ratios, np.ones(120)])
    weighted = None if class_weight is ClassWeight.none else "balanced"
    stock = LogisticRegression(C=inverse_penalty, fit_intercept=False, tol=1e-9, max_iter=10_000, class_weight=weighted)
    stock.fit(matrix, reviews.labels)
    np.testing.assert_allclose(found.weights, stock.coef_[0][:-1] * ratios, atol=2e-3)
    assert found.bias == pytest.approx(stock.coef_[0][-1], abs=5e-3)
    np.testing.assert_allclose(found.logits(reviews), stock.decision_function(matrix), atol=1e-2)


def test_fits_side_by_side_are_those_of_one_after_the_other() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 2000).tolist()
    reviews = view([[1, *random.integers(4 + label, 40, 30).tolist()] for label in labels], labels, 40)
    features = ngrams.frequent(reviews, 500, 0)
    present = ngrams.presence(reviews, features)

    def fit(_: int) -> linear.LinearModel:
        return linear.fit(present, reviews.labels, features, 1.0, ClassWeight.none)

    alone = fit(0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(fit, range(4)):
            np.testing.assert_array_equal(found.weights, alone.weights)


def test_a_logit_is_the_sum_of_the_weights_of_what_is_there_and_the_bias() -> None:
    weights = np.array([9, 9, 9, 9, 1, 2, 4, -8], np.float32)
    model = linear.LinearModel(PAIR, weights, weights, np.float32(0.5))
    found = model.logits(view([[1, 4, 5, 4], [1, 5, 4], [1], [2, 6, 6]], [0] * 4))
    assert found.tolist() == [0.5 + 1 + 2 - 8, 3.5, 0.5, 4.5]
    assert model.logits(view(REVIEWS, [0] * 4).take(slice(0))).tolist() == []


def test_of_many_reviews_those_of_the_lowest_hashes_are_taken_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    reviews = view([[1, 4]] * 5, [0] * 5).take(np.array([4, 1, 3, 0]))
    assert linear.sample(reviews).indices.tolist() == [4, 1, 3, 0]
    monkeypatch.setattr(linear, "_MOST", 2)
    assert linear.sample(reviews).indices.tolist() == [1, 0]
