"""The linear model that a network has to beat, on data whose answer is known."""

import numpy as np
import pytest

from job.data.reviews import Reviews
from job.data.tokens import Vocabulary
from job.network.predictor import LinearPredictor
from job.output.results import LinearWeights
from job.presets import ClassWeight
from job.training import baseline, linear
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


def test_what_is_kept_of_it_predicts_what_it_predicted() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 200).tolist()
    train, test = halves([[1, *random.integers(4, 40, 9).tolist(), 45 + label] for label in labels], labels)
    result = baseline.train(train, test, lambda _: None)
    assert result.weights is not None
    kept = LinearWeights.of_safetensors(result.weights.to_safetensors())
    predictor = LinearPredictor(kept, Vocabulary([f"w{number}" for number in range(4, 50)]))
    found = predictor.of_tokens([test.tokens(place) for place in range(len(test))])
    np.testing.assert_allclose(found, result.probabilities, rtol=0, atol=1e-6)
    # As words, and with some that it has never seen.
    texts = [" ".join(f"w{token}" for token in test.tokens(place)[1:]) for place in range(5)]
    np.testing.assert_allclose(predictor.probabilities(texts), result.probabilities[:5], rtol=0, atol=1e-6)
    nothing = 1 / (1 + np.exp(-float(kept.bias[0])))
    np.testing.assert_allclose(predictor.probabilities(["", "zzzz w99"]), [nothing, nothing], rtol=0, atol=1e-6)


def test_pairs_of_words_tell_what_words_do_not() -> None:
    """Both classes hold the same words, as often; "4 5" and "5 4" tell them apart."""
    labels = [number % 2 for number in range(200)]
    train, test = halves([[1, 7, 4, 5, 8] if label else [1, 7, 5, 4, 8] for label in labels], labels)
    record = baseline.train(train, test, lambda _: None).record
    assert record.test.accuracy == 1.0


def test_triples_of_words_tell_what_pairs_do_not_and_the_scores_without_them_are_beside() -> None:
    """Both classes hold the same pairs, as often."""
    labels = [number % 2 for number in range(200)]
    train, test = halves([[1, 4, 5, 6, 2, 7, 5, 8] if label else [1, 4, 5, 8, 2, 7, 5, 6] for label in labels], labels)
    result = baseline.train(train, test, lambda _: None, decision=(test.take(slice(10)), 0.5))
    assert result.record.test.accuracy == 1.0
    assert result.record.bigrams is not None
    assert result.record.bigrams.accuracy == 0.5
    assert result.weights is not None
    assert len(result.weights.trigrams) == len(result.weights.trigram_weights) == 4
    np.testing.assert_array_equal(result.validation, result.probabilities[:10])


def test_weighted_by_class_it_finds_the_rare_one() -> None:
    # One review in ten is negative; its word stands in twice as many positive ones.
    reviews = [[1, 4, 5]] * 70 + [[1, 4, 6]] * 30 + [[1, 4, 6], [1, 4, 5]]
    train, test = halves(reviews, [1] * 90 + [0] * 10 + [0, 1])
    plain, weighted = (
        baseline.train(train, test, lambda purpose: None, class_weight=each)
        for each in (ClassWeight.none, ClassWeight.balanced)
    )
    assert (plain.record.test.recall, plain.record.test.balanced_accuracy) == (1.0, 0.5)
    assert (weighted.record.test.recall, weighted.record.test.balanced_accuracy) == (1.0, 1.0)


def test_of_more_reviews_a_part_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_MOST", 30)
    labels = [number % 2 for number in range(200)]
    train, test = halves([[1, 4 + label, 6, 7] for label in labels], labels)
    record = baseline.train(train.take(slice(99)), test, lambda _: None).record
    assert record.train_reviews == 30
    assert record.test.accuracy == 1.0
