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
        found = [bigrams(corpus.review(int(index)), vocabulary_size) for index in indices[first : first + _BLOCK]]
        corpus.release()
        more, times = np.unique(np.concatenate(found), return_counts=True)
        keys, places = np.unique(np.concatenate([keys, more]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([counts, times]), len(keys)).astype(np.int64)
    keys, counts = keys[counts > 1], counts[counts > 1]
    return np.sort(keys[np.lexsort((keys, -counts))[:count]])


def bigrams(tokens: NDArray[np.int32], vocabulary_size: int) -> NDArray[np.int64]:
    """A review's bigrams without a special token, in order: <int64>[bigrams]."""
    known = (tokens >= FIRST_WORD_ID) & (tokens < vocabulary_size)
    both = known[:-1] & known[1:]
    return tokens[:-1][both].astype(np.int64) * vocabulary_size + tokens[1:][both]


def presence(corpus: Corpus, indices: NDArray[np.int64], vocabulary_size: int, pairs: NDArray[np.int64]) -> Any:
    """Which words and which of these bigrams occur in reviews: a sparse <float32>[reviews, features] of ones.

    Args:
        indices: <int64>[reviews], places in the corpus.
        vocabulary_size: Features below it are token ids; those from it on are bigrams.
        pairs: <int64>[bigrams], sorted, as of `frequent_bigrams`.
    """
    from scipy.sparse import csr_matrix

    rows: list[NDArray[np.int32]] = []
    for index in indices:
        tokens = corpus.review(int(index))
        words = tokens[(tokens >= FIRST_WORD_ID) & (tokens < vocabulary_size)]
        keys = bigrams(tokens, vocabulary_size)
        places = np.searchsorted(pairs, keys)
        known = np.append(pairs, -1)[places] == keys
        rows.append(np.unique(np.concatenate([words, vocabulary_size + places[known]])).astype(np.int32))
    corpus.release()
    ends = np.cumsum([0, *map(len, rows)])
    columns = np.concatenate([np.empty(0, np.int32), *rows])
    shape = (len(rows), vocabulary_size + len(pairs))
    return csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape)


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
