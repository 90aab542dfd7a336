"""Words, and pairs and triples of neighbouring words, as features: which ones count, and where they occur."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.data.reviews import Reviews
from job.data.tokens import FIRST_WORD_ID

# Reviews counted at a time, so that memory grows with the number of distinct n-grams and not with the data.
_BLOCK = 20_000


@dataclass(frozen=True, eq=False)
class Ngrams:
    """The n-grams that are features: every word, and some pairs and triples.

    A pair is the number `first * vocabulary_size + second` of its token ids, a triple `pair * vocabulary_size + third`. A
    feature's number is a word's token id; then come the pairs in their order, then the triples.
    """

    vocabulary_size: int
    bigrams: NDArray[np.int64]
    """<int64>[pairs], sorted."""
    trigrams: NDArray[np.int64]
    """<int64>[triples], sorted."""

    def __len__(self) -> int:
        return self.vocabulary_size + len(self.bigrams) + len(self.trigrams)

    def ending(self, tokens: NDArray[np.int32], owners: NDArray[np.int64]) -> NDArray[np.int32]:
        """The features that end at each token, <int32>[tokens, 3]: the word, the pair, the triple; -1 where it is none.

        Args:
            tokens: Of some reviews, one after the other, <int32>[tokens].
            owners: The number of the review that each belongs to, <int64>[tokens].
        """
        found = np.full((len(tokens), 3), -1, np.int32)
        is_word = tokens >= FIRST_WORD_ID
        found[is_word, 0] = tokens[is_word]
        first = self.vocabulary_size
        for order, keys in ((2, self.bigrams), (3, self.trigrams)):
            if len(keys):
                ends, numbers = _numbers(tokens, owners, self.vocabulary_size, order)
                places = np.minimum(np.searchsorted(keys, numbers), len(keys) - 1)
                found[ends, order - 1] = np.where(keys[places] == numbers, first + places, -1)
            first += len(keys)
        return found


def frequent(reviews: Reviews, bigrams: int, trigrams: int) -> Ngrams:
    """The most frequent n-grams of these reviews, so many pairs and triples at most.

    N-grams that hold a special token, such as the unknown one, are left out, and so are those that occur once: they could
    only be learned by heart. Of equally frequent ones those with the lower numbers are taken.
    """
    size = reviews.vocabulary_size
    return Ngrams(size, _frequent(reviews, 2, bigrams), _frequent(reviews, 3, trigrams))


def _frequent(reviews: Reviews, order: int, count: int) -> NDArray[np.int64]:
    if not count:
        return np.empty(0, np.int64)
    keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for block in blocks(reviews, _BLOCK):
        _, found = _numbers(*flat(block), reviews.vocabulary_size, order)
        more, times = np.unique(found, return_counts=True)
        keys, places = np.unique(np.concatenate([keys, more]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([counts, times]), len(keys)).astype(np.int64)
    keys, counts = keys[counts > 1], counts[counts > 1]
    return np.sort(keys[np.lexsort((keys, -counts))[:count]])


def presence(reviews: Reviews, ngrams: Ngrams) -> Any:
    """Which features occur in each review: a sparse <float32>[reviews, features] of ones."""
    return occurrences(*flat(reviews), len(reviews), ngrams)


def occurrences(tokens: NDArray[np.int32], owners: NDArray[np.int64], reviews: int, ngrams: Ngrams) -> Any:
    """The same of reviews that belong to no corpus.

    Args:
        tokens, owners: As in `Ngrams.ending`; owners from 0 to before `reviews`.
    """
    from scipy.sparse import csr_matrix

    found = ngrams.ending(tokens, owners)
    is_there = found >= 0
    # One number for every pair of review and feature, so that a sort finds what occurs twice; np.unique takes several times as long.
    cells = np.sort((owners[:, None] * len(ngrams) + found)[is_there])
    rows, columns = np.divmod(cells[np.diff(cells, prepend=-1) > 0], len(ngrams))
    ends = np.searchsorted(rows, np.arange(reviews + 1))
    return csr_matrix((np.ones(len(columns), np.float32), columns.astype(np.int32), ends), (reviews, len(ngrams)))


def blocks(reviews: Reviews, size: int) -> Iterator[Reviews]:
    """So many reviews at a time."""
    for first in range(0, len(reviews), size):
        yield reviews.take(slice(first, first + size))


def flat(reviews: Reviews) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """All tokens that are read, one review after the other, and the place of the review that each belongs to.

    Both are of the tokens: <int32>[tokens] and <int64>[tokens].
    """
    tokens = reviews.flat()
    reviews.corpus.release()
    return tokens, np.repeat(np.arange(len(reviews)), reviews.lengths)


def _numbers(
    tokens: NDArray[np.int32], owners: NDArray[np.int64], size: int, order: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The n-grams of so many words without a special token: the place of each one's last token, and its number."""
    wide = tokens.astype(np.int64)
    ends = len(tokens) - order + 1
    whole, numbers = owners[: max(0, ends)] == owners[order - 1 :], np.zeros(max(0, ends), np.int64)
    for place in range(order):
        part = wide[place : place + max(0, ends)]
        whole &= part >= FIRST_WORD_ID
        numbers = numbers * size + part
    return np.flatnonzero(whole) + order - 1, numbers[whole]
