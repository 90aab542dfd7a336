import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from job.data import ngrams
from job.data.corpus import Corpus
from job.data.ngrams import Ngrams
from job.data.reviews import Reviews
from tests.data.samples import tiny

SIZE = 9
TEXTS = st.lists(st.lists(st.integers(1, 12), max_size=12), min_size=1, max_size=12)


def corpus(reviews: list[list[int]], parts: list[int] | None = None) -> Corpus:
    # Hashes in order, so that a share of them is the first reviews.
    hashes = np.arange(len(reviews)).astype(np.uint64) << np.uint64(28)
    return replace(tiny(reviews, parts=parts), hashes=hashes)


def view(reviews: list[list[int]], size: int = SIZE, max_tokens: int | None = None) -> Reviews:
    return Reviews(corpus(reviews), np.arange(len(reviews)), size, max_tokens)


def key(*words: int) -> int:
    number = 0
    for word in words:
        number = number * SIZE + word
    return number


def known(*words: tuple[int, ...]) -> Ngrams:
    """These pairs and triples, by their words."""
    pairs, triples = (sorted(key(*each) for each in words if len(each) == order) for order in (2, 3))
    return Ngrams(SIZE, np.array(pairs, np.int64), np.array(triples, np.int64))


def test_the_most_frequent_pairs_are_taken_without_special_tokens_unknown_words_and_what_occurs_once() -> None:
    reviews = view([[1, 4, 5, 4, 5, 2, 6], [1, 5, 6, 4], [1, 5, 6, 20, 5, 6, 7, 8]])
    assert ngrams.frequent(reviews, 10, 0).bigrams.tolist() == [key(4, 5), key(5, 6)]
    assert ngrams.frequent(reviews, 1, 0).bigrams.tolist() == [key(5, 6)]
    assert ngrams.frequent(reviews, 0, 0).bigrams.tolist() == []
    assert ngrams.frequent(reviews, 10, 0).trigrams.tolist() == []


def test_the_most_frequent_triples_are_taken_in_the_same_way() -> None:
    reviews = view([[1, 4, 5, 6, 2, 5, 6], [1, 4, 5, 6, 7], [1, 4, 5, 20, 6], [5, 6, 7], [4, 5, 6], [7]])
    assert ngrams.frequent(reviews, 0, 10).trigrams.tolist() == [key(4, 5, 6), key(5, 6, 7)]
    assert ngrams.frequent(reviews, 0, 1).trigrams.tolist() == [key(4, 5, 6)]
    both = ngrams.frequent(reviews, 1, 1)
    assert (both.bigrams.tolist(), both.trigrams.tolist()) == ([key(5, 6)], [key(4, 5, 6)])
    assert (both.vocabulary_size, len(both)) == (SIZE, SIZE + 2)


def test_what_a_view_does_not_read_is_not_counted() -> None:
    reviews = [[4, 5, 6, 7]] * 2
    assert ngrams.frequent(view(reviews, max_tokens=2), 9, 9).bigrams.tolist() == [key(6, 7)]
    assert ngrams.frequent(view(reviews, max_tokens=2), 9, 9).trigrams.tolist() == []
    assert ngrams.frequent(view(reviews, 7), 9, 9).bigrams.tolist() == [4 * 7 + 5, 5 * 7 + 6]


def test_of_equally_frequent_ones_the_lower_numbers_are_taken() -> None:
    found = ngrams.frequent(view([[7, 6, 5, 4]] * 2), 2, 1)
    assert found.bigrams.tolist() == [key(5, 4), key(6, 5)]
    assert found.trigrams.tolist() == [key(6, 5, 4)]


def test_only_what_is_trained_on_is_counted() -> None:
    reviews = corpus([[4, 5], [6, 7], [6, 7], [7, 8], [7, 8]], [0, 0, 0, 1, 1])

    def found(validation_share: float) -> list[int]:
        train, _ = reviews.split_validation(validation_share)
        return ngrams.frequent(Reviews(reviews, train, SIZE), 9, 0).bigrams.tolist()  # type: ignore[no-any-return]

    assert found(0.0) == [key(6, 7)]
    # The first two are held out; what is left occurs once, except in the test part, which is not looked at.
    assert found(1.5 / 16) == []


def grams(review: list[int], order: int) -> list[tuple[int, ...]]:
    """All of so many neighbouring words, by a plain loop."""
    read = [token if token < SIZE else 2 for token in review]
    every = itertools.islice(zip(*(read[place:] for place in range(order)), strict=False), len(read))
    return [each for each in every if min(each) >= 4]


@given(TEXTS, st.integers(1, 20), st.integers(1, 20))
def test_it_is_what_a_counter_counts(reviews: list[list[int]], bigrams: int, trigrams: int) -> None:
    found = ngrams.frequent(view(reviews), bigrams, trigrams)
    for order, count, keys in ((2, bigrams, found.bigrams), (3, trigrams, found.trigrams)):
        counted = Counter(key(*each) for review in reviews for each in grams(review, order))
        ranked = sorted((-times, number) for number, times in counted.items() if times > 1)
        assert keys.tolist() == sorted(number for _, number in ranked[:count])


@given(TEXTS, st.integers(0, 6), st.integers(0, 6))
def test_what_ends_at_a_token_and_what_is_there_is_what_a_plain_loop_finds(
    reviews: list[list[int]], bigrams: int, trigrams: int
) -> None:
    seen = view(reviews)
    features = ngrams.frequent(seen, bigrams, trigrams)
    number: dict[tuple[int, ...], int] = {(word,): word for word in range(4, SIZE)}
    for pair in (each for review in reviews for each in grams(review, 2) if key(*each) in features.bigrams):
        number[pair] = SIZE + features.bigrams.tolist().index(key(*pair))
    for triple in (each for review in reviews for each in grams(review, 3) if key(*each) in features.trigrams):
        number[triple] = SIZE + len(features.bigrams) + features.trigrams.tolist().index(key(*triple))
    expected = []
    for review in reviews:
        read = [token if token < SIZE else 2 for token in review]
        for end in range(1, len(read) + 1):
            expected.append([number.get(tuple(read[max(0, end - order) : end]), -1) for order in (1, 2, 3)])
            for order in range(end + 1, 4):
                expected[-1][order - 1] = -1
    assert features.ending(*ngrams.flat(seen)).tolist() == expected
    present = np.zeros((len(reviews), len(features)))
    for place, review in enumerate(reviews):
        for order in (1, 2, 3):
            present[place, [number[each] for each in grams(review, order) if each in number]] = 1
    np.testing.assert_array_equal(ngrams.presence(seen, features).toarray(), present)


def test_nothing_ends_across_two_reviews() -> None:
    tokens = np.array([4, 5, 6, 4, 5, 6, 7], np.int32)
    features = known((4, 5), (5, 6), (4, 5, 6), (5, 6, 7))
    pair, triple = SIZE, SIZE + 2
    one = features.ending(tokens, np.zeros(7, np.int64))
    assert one.tolist() == [
        [4, -1, -1], [5, pair, -1], [6, pair + 1, triple], [4, -1, -1], [5, pair, -1], [6, pair + 1, triple], [7, -1, triple + 1],
    ]  # fmt: skip
    several = features.ending(tokens, np.array([0, 0, 0, 0, 3, 3, 4]))
    assert several.tolist() == [
        [4, -1, -1], [5, pair, -1], [6, pair + 1, triple], [4, -1, -1], [5, -1, -1], [6, pair + 1, -1], [7, -1, -1],
    ]  # fmt: skip


def test_special_tokens_end_nothing_and_without_pairs_and_triples_only_words_do() -> None:
    tokens, owners = np.array([1, 4, 2, 5, 6], np.int32), np.zeros(5, np.int64)
    assert known((4, 5), (5, 6)).ending(tokens, owners)[:, 1].tolist() == [-1, -1, -1, -1, SIZE + 1]
    assert known().ending(tokens, owners).tolist() == [[-1] * 3, [4, -1, -1], [-1] * 3, [5, -1, -1], [6, -1, -1]]
    assert known((4, 5, 6)).ending(tokens[:0], owners[:0]).tolist() == []
    assert known((4, 5, 6)).ending(tokens[1:2], owners[:1]).tolist() == [[4, -1, -1]]


def test_presence_is_told_once_a_review_whatever_the_number() -> None:
    reviews = view([[1, 4, 5, 4, 5, 4, 5, 2, 6], [1, 5, 6, 20], [1]])
    found = ngrams.presence(reviews, known((4, 5), (5, 6), (5, 4, 5)))
    expected = np.zeros((3, SIZE + 3))
    expected[0, [4, 5, 6, SIZE, SIZE + 2]] = expected[1, [5, 6, SIZE + 1]] = 1
    np.testing.assert_array_equal(found.toarray(), expected)
    assert (found.dtype, found.data.tolist()) == (np.float32, [1.0] * 8)
    assert ngrams.presence(reviews.take(np.array([1])), known()).sum() == 2
    assert ngrams.presence(reviews.take(slice(0)), known()).shape == (0, SIZE)
