"""Batches of reviews of similar length, in an order that (seed, epoch) alone determines."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from job.presets import PAD


class Batch(NamedTuple):
    """Reviews padded at their end."""

    tokens: NDArray[np.int32]
    """<int32>[batch, length]"""
    labels: NDArray[np.float32]
    """<float32>[batch], 0 or 1, or between them where a label is a guess"""
    numbers: NDArray[np.float16]
    """<float16>[batch, length, kinds], what the n-grams that end at each token say (job/data/evidence.py)"""
    linear: NDArray[np.float32]
    """<float32>[batch], the linear model's logits; 0 where there is none"""


def training_order(
    lengths: NDArray[np.int64], batch_size: int, length_pool: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Splits reviews into one epoch's batches: every review once, similar lengths together, batches shuffled.

    Args:
        lengths: <int64>[reviews], the number of tokens read of each.
        length_pool: Reviews are sorted by length within a random pool of this many batches: enough that there is little
            padding, few enough that a review has other company in every epoch.

    Returns:
        The places in `lengths` of each batch.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    pool = length_pool * batch_size
    pools = [order[first : first + pool] for first in range(0, len(order), pool)]
    ordered = [group[np.argsort(lengths[group], kind="stable")] for group in pools]
    batches = [group[first : first + batch_size] for group in ordered for first in range(0, len(group), batch_size)]
    return [batches[place] for place in random.permutation(len(batches))]


def evaluation_order(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Splits reviews into batches by length, every review once."""
    order = np.argsort(lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def padded(reviews: list[NDArray[Any]], length: int | None = None) -> NDArray[Any]:
    """Reviews <int32>[tokens] as one <int32>[reviews, length], by default as long as the longest.

    Likewise <float16>[tokens, kinds] become <float16>[reviews, length, kinds].
    """
    longest = length or max(len(review) for review in reviews)
    first = reviews[0]
    rows = np.full((len(reviews), longest, *first.shape[1:]), PAD, first.dtype)
    for row, review in zip(rows, reviews, strict=True):
        row[: len(review)] = review
    return rows
