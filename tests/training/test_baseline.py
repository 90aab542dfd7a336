"""The linear model that a network has to beat, on data whose answer is known."""

import numpy as np
import pytest

from job.data.reviews import Reviews
from job.training import baseline
from tests.data.samples import tiny


def halves(reviews: list[list[int]], labels: list[int]) -> tuple[Reviews, Reviews]:
    """The first hundred reviews, and the others."""
    corpus = tiny(reviews, labels)
    return Reviews(corpus, np.arange(100), 50), Reviews(corpus, np.arange(100, len(reviews)), 50)


def test_a_word_tells_the_label_and_a_look_is_told_of() -> None:
    random = np.random.default_rng(0)
    labels = [number % 2 for number in range(200)]
    train, test = halves([[1, *random.integers(10, 40, 6).tolist(), 4 + label] for label in labels], labels)
    looks: list[str] = []
    result = baseline.train(train, test, looks.append)
    assert result.record.test.accuracy == 1.0
    assert result.record.train_reviews == 100
    np.testing.assert_array_equal(result.probabilities > 0.5, test.labels == 1)
    assert looks == ["scores of the baseline"]
    again = baseline.train(train, test, looks.append)
    np.testing.assert_array_equal(again.probabilities, result.probabilities)
    assert again.record.test == result.record.test


def test_pairs_of_words_tell_what_words_do_not() -> None:
    """Both classes hold the same words, as often; "4 5" and "5 4" tell them apart."""
    labels = [number % 2 for number in range(200)]
    train, test = halves([[1, 7, 4, 5, 8] if label else [1, 7, 5, 4, 8] for label in labels], labels)
    record = baseline.train(train, test, lambda _: None).record
    assert record.test.accuracy == 1.0


def test_of_more_reviews_a_part_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "_MOST", 30)
    labels = [number % 2 for number in range(200)]
    train, test = halves([[1, 4 + label, 6, 7] for label in labels], labels)
    record = baseline.train(train.take(slice(99)), test, lambda _: None).record
    assert record.train_reviews == 30
    assert record.test.accuracy == 1.0
