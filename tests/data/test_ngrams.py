import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from job.data import ngrams
from job.data.corpus import Corpus
from job.data.reviews import Reviews
from tests.data.samples import tiny

SIZE = 9


def corpus(reviews: list[list[int]], parts: list[int] | None = None) -> Corpus:
    # Hashes in order, so that a share of them is the first reviews.
    hashes = np.arange(len(reviews)).astype(np.uint64) << np.uint64(28)
    return replace(tiny(reviews, parts=parts), hashes=hashes)


def view(reviews: list[list[int]], size: int = SIZE) -> Reviews:
    """All of these reviews; that only two tokens are read makes no difference to the functions here."""
    return Reviews(corpus(reviews), np.arange(len(reviews)), size, max_tokens=2)


def test_the_most_frequent_pairs_are_taken_without_special_tokens_unknown_words_and_what_occurs_once() -> None:
    reviews = [[1, 4, 5, 4, 5, 2, 6], [1, 5, 6, 4], [1, 5, 6, 20, 5, 6, 7, 8]]
    assert ngrams.frequent_bigrams(view(reviews), 10).tolist() == [4 * SIZE + 5, 5 * SIZE + 6]
    assert ngrams.frequent_bigrams(view(reviews), 1).tolist() == [5 * SIZE + 6]
    assert ngrams.frequent_bigrams(view(reviews), 0).tolist() == []


def test_of_equally_frequent_ones_the_lower_numbers_are_taken() -> None:
    assert ngrams.frequent_bigrams(view([[7, 6, 5, 4]] * 2), 2).tolist() == [5 * SIZE + 4, 6 * SIZE + 5]


def test_only_what_is_trained_on_is_counted() -> None:
    reviews = corpus([[4, 5], [6, 7], [6, 7], [7, 8], [7, 8]], [0, 0, 0, 1, 1])

    def found(validation_share: float) -> list[int]:
        train, _ = reviews.split_validation(validation_share)
        return ngrams.frequent_bigrams(Reviews(reviews, train, SIZE), 9).tolist()  # type: ignore[no-any-return]

    assert found(0.0) == [6 * SIZE + 7]
    # The first two are held out; what is left occurs once, except in the test part, which is not looked at.
    assert found(1.5 / 16) == []


@given(st.lists(st.lists(st.integers(1, 12), max_size=12), min_size=1, max_size=12), st.integers(1, 20))
def test_it_is_what_a_counter_counts(reviews: list[list[int]], count: int) -> None:
    pairs = Counter(a * SIZE + b for each in reviews for a, b in itertools.pairwise(each) if 4 <= a < SIZE and 4 <= b < SIZE)
    ranked = sorted((-times, key) for key, times in pairs.items() if times > 1)
    assert ngrams.frequent_bigrams(view(reviews), count).tolist() == sorted(key for _, key in ranked[:count])


def test_presence_is_told_once_a_review_whatever_the_number() -> None:
    reviews = view([[1, 4, 5, 4, 5, 2, 6], [1, 5, 6, 20], [1]])
    pairs = np.array([4 * SIZE + 5, 5 * SIZE + 6])
    found = ngrams.presence(reviews, pairs).toarray()
    expected = np.zeros((3, SIZE + 2))
    expected[0, [4, 5, 6, SIZE]] = expected[1, [5, 6, SIZE + 1]] = 1
    np.testing.assert_array_equal(found, expected)
    assert ngrams.presence(reviews.take(np.array([1])), pairs[:0]).sum() == 2


def test_a_ratio_is_the_logarithm_of_smoothed_shares() -> None:
    reviews = view([[1, 4, 5], [1, 4], [1, 5, 5], [1, 8]], size=7)
    reviews.corpus.labels[:2] = 1
    found = ngrams.log_count_ratios(reviews.take(np.array([0, 1, 2])), np.array([4 * 7 + 5]))
    # Ids 0 to 6 and the bigram. Positive: 2 + 1, 1 + 1 and, of the bigram, 1 + 1 of 4 + 8; negative: of 1 + 8.
    ones = [1] * 8
    positive, negative = np.array(ones) / 12, np.array(ones) / 9
    positive[[4, 5, 7]] = np.array([3, 2, 2]) / 12
    negative[5] = 2 / 9
    np.testing.assert_allclose(found, np.log(positive / negative), rtol=1e-6)
