"""Words and pairs of neighbouring words as features: which pairs count, where they occur, and what they say of the label.

All functions here look at whole reviews: they ignore a view's `max_tokens`.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.data.reviews import Reviews
from job.data.tokens import FIRST_WORD_ID

# Reviews counted at a time, so that memory grows with the number of distinct pairs and not with the data.
_BLOCK = 20_000
_SMOOTHING = 1.0


@functools.lru_cache(maxsize=4)
def frequent_bigrams(reviews: Reviews, count: int) -> NDArray[np.int64]:
    """The `count` most frequent bigrams of these reviews, sorted: <int64>[bigrams].

    A bigram is the number `first * vocabulary_size + second` of its token ids. Pairs that hold a special token, such as
    the unknown one, are left out, and so are pairs that occur once: those could only be learned by heart. Of equally
    frequent pairs the ones with the lower numbers are taken.
    """
    if not count:
        return np.empty(0, np.int64)
    keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for block in _blocks(reviews):
        _, found = _bigrams(*_flat(block), reviews.vocabulary_size)
        more, times = np.unique(found, return_counts=True)
        keys, places = np.unique(np.concatenate([keys, more]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([counts, times]), len(keys)).astype(np.int64)
    keys, counts = keys[counts > 1], counts[counts > 1]
    return np.sort(keys[np.lexsort((keys, -counts))[:count]])


def presence(reviews: Reviews, pairs: NDArray[np.int64]) -> Any:
    """Which words and which of these bigrams occur in each review: a sparse <float32>[reviews, features] of ones.

    Features below the vocabulary's size are token ids; those from it on are bigrams.

    Args:
        pairs: <int64>[bigrams], sorted, as in `frequent_bigrams`.
    """
    return occurrences(*_flat(reviews), len(reviews), pairs, reviews.vocabulary_size)


def occurrences(tokens: NDArray[np.int64], owners: NDArray[np.int64], reviews: int, pairs: NDArray[np.int64], size: int) -> Any:
    """The same of reviews that belong to no corpus.

    Args:
        tokens: Of all reviews, one after the other, <int64>[tokens].
        owners: The place of the review that each belongs to, <int64>[tokens], from 0 to before `reviews`.
        size: The vocabulary's.
    """
    from scipy.sparse import csr_matrix

    features = size + len(pairs)
    is_word = tokens >= FIRST_WORD_ID
    rows, keys = _bigrams(tokens, owners, size)
    places = np.searchsorted(pairs, keys)
    known = np.append(pairs, -1)[places] == keys
    # One number for every pair of review and feature, so that a sort finds what occurs twice; np.unique takes several times as long.
    cells = [owners[is_word] * features + tokens[is_word], rows[known] * features + size + places[known]]
    sorted_cells = np.sort(np.concatenate(cells))
    rows, columns = np.divmod(sorted_cells[np.diff(sorted_cells, prepend=-1) > 0], features)
    ends = np.searchsorted(rows, np.arange(reviews + 1))
    return csr_matrix((np.ones(len(columns), np.float32), columns.astype(np.int32), ends), (reviews, features))


def log_count_ratios(reviews: Reviews, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """How much larger a feature's share of the positive reviews' features is than of the negative ones', as a logarithm.

    Source: Wang and Manning (2012), "Baselines and Bigrams", section 2.1, on presence, with 1 added to each count.

    Args:
        pairs: As in `presence`.

    Returns:
        <float32>[features], in the order of `presence`.
    """
    sums = np.full((2, reviews.vocabulary_size + len(pairs)), _SMOOTHING)
    for block in _blocks(reviews):
        found, labels = presence(block, pairs), block.labels
        for side in (0, 1):
            sums[side] += np.asarray(found[labels == side].sum(0)).ravel()
    negative, positive = sums / sums.sum(1, keepdims=True)
    return np.asarray(np.log(positive / negative), np.float32)


def _blocks(reviews: Reviews) -> Iterator[Reviews]:
    for first in range(0, len(reviews), _BLOCK):
        yield reviews.take(slice(first, first + _BLOCK))


def _flat(reviews: Reviews) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All tokens of whole reviews, one after the other, and the place of the review that each belongs to: both <int64>[tokens]."""
    whole = replace(reviews, max_tokens=None)
    tokens = whole.flat().astype(np.int64)
    reviews.corpus.release()
    return tokens, np.repeat(np.arange(len(whole)), whole.lengths)


def _bigrams(
    tokens: NDArray[np.int64], owners: NDArray[np.int64], vocabulary_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The bigrams without a special token, in order: the place of each one's review, and its number; both <int64>[bigrams].

    Args:
        tokens, owners: As `_flat` returns them.
    """
    is_word = tokens >= FIRST_WORD_ID
    both = is_word[:-1] & is_word[1:] & (owners[:-1] == owners[1:])
    return owners[1:][both], tokens[:-1][both] * vocabulary_size + tokens[1:][both]
