"""The bigrams of a corpus that get an embedding of their own: its most frequent pairs of neighbouring words."""

import functools

import numpy as np
from numpy.typing import NDArray

from job.data.corpus import Corpus
from job.data.tokens import FIRST_WORD_ID

# Reviews counted at a time, so that memory does not grow with the data but by the distinct pairs.
_BLOCK = 20_000


@functools.lru_cache(maxsize=4)
def frequent(corpus: Corpus, validation_share: float, vocabulary_size: int, count: int) -> NDArray[np.int64]:
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
        found = [_pairs(corpus.review(int(index)), vocabulary_size) for index in indices[first : first + _BLOCK]]
        more, times = np.unique(np.concatenate(found), return_counts=True)
        keys, places = np.unique(np.concatenate([keys, more]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([counts, times]), len(keys)).astype(np.int64)
    keys, counts = keys[counts > 1], counts[counts > 1]
    return np.sort(keys[np.lexsort((keys, -counts))[:count]])


def _pairs(tokens: NDArray[np.int32], vocabulary_size: int) -> NDArray[np.int64]:
    known = (tokens >= FIRST_WORD_ID) & (tokens < vocabulary_size)
    both = known[:-1] & known[1:]
    return tokens[:-1][both].astype(np.int64) * vocabulary_size + tokens[1:][both]
