"""Words and pairs of neighbouring words as features: which pairs count, where they occur, and what they say of the label."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.data.corpus import Corpus
from job.data.tokens import FIRST_WORD_ID

# Reviews counted at a time, so that memory does not grow with the data but by the distinct pairs.
_BLOCK = 20_000
_SMOOTHING = 1.0


@functools.lru_cache(maxsize=4)
def frequent_bigrams(corpus: Corpus, validation_share: float, vocabulary_size: int, count: int) -> NDArray[np.int64]:
    """The `count` most frequent bigrams of the reviews that are trained on, sorted: <int64>[bigrams].

    A bigram is the number `first * vocabulary_size + second` of its token ids. Pairs with a special token, an unknown
    word among them, are left out, and so is what occurs once: it could only be learned by heart.
    Of equally frequent ones those with the lower number are taken.
    """
    if not count:
        return np.empty(0, np.int64)
    indices, _ = corpus.split_validation(validation_share)
    keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for first in range(0, len(indices), _BLOCK):
        _, found = bigrams(*_flat(corpus, indices[first : first + _BLOCK]), vocabulary_size)
        more, times = np.unique(found, return_counts=True)
        keys, places = np.unique(np.concatenate([keys, more]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([counts, times]), len(keys)).astype(np.int64)
    keys, counts = keys[counts > 1], counts[counts > 1]
    return np.sort(keys[np.lexsort((keys, -counts))[:count]])


def _flat(corpus: Corpus, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All tokens of these reviews, one after the other, and which review each is of, from 0: both <int64>[tokens]."""
    lengths = corpus.lengths[indices]
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(corpus.offsets[indices] - (ends - lengths), lengths)
    tokens = corpus.tokens[places].astype(np.int64)
    corpus.release()
    return tokens, np.repeat(np.arange(len(indices)), lengths)


def bigrams(
    tokens: NDArray[np.int64], reviews: NDArray[np.int64], vocabulary_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The bigrams without a special token, in order: which review each is of, and its number; both <int64>[bigrams].

    Args:
        tokens: <int64>[tokens], of reviews one after the other.
        reviews: <int64>[tokens], which review each is of.
    """
    known = (tokens >= FIRST_WORD_ID) & (tokens < vocabulary_size)
    both = known[:-1] & known[1:] & (reviews[:-1] == reviews[1:])
    return reviews[1:][both], tokens[:-1][both] * vocabulary_size + tokens[1:][both]


def presence(corpus: Corpus, indices: NDArray[np.int64], vocabulary_size: int, pairs: NDArray[np.int64]) -> Any:
    """Which words and which of these bigrams occur in reviews: a sparse <float32>[reviews, features] of ones.

    Args:
        indices: <int64>[reviews], places in the corpus.
        vocabulary_size: Features below it are token ids; those from it on are bigrams.
        pairs: <int64>[bigrams], sorted, as of `frequent_bigrams`.
    """
    from scipy.sparse import csr_matrix

    features = vocabulary_size + len(pairs)
    tokens, reviews = _flat(corpus, indices)
    is_word = (tokens >= FIRST_WORD_ID) & (tokens < vocabulary_size)
    rows, keys = bigrams(tokens, reviews, vocabulary_size)
    places = np.searchsorted(pairs, keys)
    known = np.append(pairs, -1)[places] == keys
    # One number for each pair of review and feature, so that a sort finds what occurs twice; np.unique takes several times as long.
    cells = [reviews[is_word] * features + tokens[is_word], rows[known] * features + vocabulary_size + places[known]]
    sorted_cells = np.sort(np.concatenate(cells))
    rows, columns = np.divmod(sorted_cells[np.diff(sorted_cells, prepend=-1) > 0], features)
    ends = np.searchsorted(rows, np.arange(len(indices) + 1))
    return csr_matrix((np.ones(len(columns), np.float32), columns.astype(np.int32), ends), (len(indices), features))


def log_count_ratios(
    corpus: Corpus, indices: NDArray[np.int64], vocabulary_size: int, pairs: NDArray[np.int64]
) -> NDArray[np.float32]:
    """How much more of the positive than of the negative reviews' features each one makes up, as a logarithm: <float32>[features].

    Source: Wang and Manning (2012), "Baselines and Bigrams", section 2.1, on presence, with 1 added to each count.

    Args:
        indices, vocabulary_size, pairs: As of `presence`.
    """
    sums = np.full((2, vocabulary_size + len(pairs)), _SMOOTHING)
    for first in range(0, len(indices), _BLOCK):
        block = indices[first : first + _BLOCK]
        found, labels = presence(corpus, block, vocabulary_size, pairs), corpus.labels[block]
        for side in (0, 1):
            sums[side] += np.asarray(found[labels == side].sum(0)).ravel()
    negative, positive = sums / sums.sum(1, keepdims=True)
    return np.asarray(np.log(positive / negative), np.float32)
