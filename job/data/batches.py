"""Batches of reviews of similar length, in an order that (seed, epoch) alone determines."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from job.data.corpus import Corpus
from job.data.tokens import clip
from job.presets import PAD, SPECIAL_TOKENS

# Batches between two releases of mapped pages: each review maps some 64 KiB around itself.
_RELEASE = 4


class Batch(NamedTuple):
    """Reviews padded at their end to the longest one."""

    tokens: NDArray[np.int32]
    """<int32>[batch, length]"""
    labels: NDArray[np.float32]
    """<float32>[batch], 0 or 1"""
    indices: NDArray[np.int64]
    """<int64>[batch], places in the corpus"""


def training_order(
    lengths: NDArray[np.int64], batch_size: int, length_pool: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Splits reviews into one epoch's batches: every review once, similar lengths together, batches shuffled.

    Args:
        lengths: <int64>[reviews], tokens read of each.
        length_pool: Reviews are sorted by length within a random pool of this many batches: enough that little is
            padding, few enough that the company of a review changes from epoch to epoch.

    Returns:
        For each batch the places in `lengths`.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    pool = length_pool * batch_size
    pools = [order[first : first + pool] for first in range(0, len(order), pool)]
    ordered = [group[np.argsort(lengths[group], kind="stable")] for group in pools]
    batches = [group[first : first + batch_size] for group in ordered for first in range(0, len(group), batch_size)]
    return [batches[place] for place in random.permutation(len(batches))]


def evaluation_order(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Splits reviews into batches by length, each review once."""
    order = np.argsort(lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def assemble(
    corpus: Corpus, indices: NDArray[np.int64], vocabulary_size: int, max_tokens: int, length: int | None = None
) -> Batch:
    """Gathers reviews into one padded batch.

    Args:
        max_tokens: Longer reviews lose their beginning: the end decides.
        length: Pad to this many tokens; by default to the longest of the batch.
    """
    tokens = padded([corpus.review(int(index))[-max_tokens:] for index in indices], length)
    return Batch(clip(tokens, vocabulary_size), corpus.labels[indices].astype(np.float32), indices)


def padded(reviews: list[NDArray[np.int32]], length: int | None = None) -> NDArray[np.int32]:
    """Reviews <int32>[tokens] as one <int32>[reviews, length], by default as long as the longest."""
    tokens = np.full((len(reviews), length or max(len(review) for review in reviews)), PAD, dtype=np.int32)
    for row, review in zip(tokens, reviews, strict=True):
        row[: len(review)] = review
    return tokens


def batches(
    corpus: Corpus,
    indices: NDArray[np.int64],
    order: list[NDArray[np.int64]],
    vocabulary_size: int,
    max_tokens: int,
    length: int | None = None,
) -> Iterator[Batch]:
    """Assembles the batches of an order over `indices`."""
    for number, places in enumerate(order, 1):
        yield assemble(corpus, indices[places], vocabulary_size, max_tokens, length)
        if number % _RELEASE == 0:
            corpus.release()


def flat(corpus: Corpus, indices: NDArray[np.int64], vocabulary_size: int, max_tokens: int) -> NDArray[np.int32]:
    """What is read of these reviews, one after the other: <int32>[all tokens]."""
    return clip(np.concatenate([corpus.review(int(index))[-max_tokens:] for index in indices]), vocabulary_size)


def keras_shuffle(corpus: Corpus, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first train and test reviews in the order of Keras's `imdb.load_data()`, which shuffles both parts with seed 113.

    Source: keras/src/datasets/imdb.py
    """
    random = np.random.RandomState(113)
    orders = []
    for name in ("train", "test"):
        indices = corpus.part(name)
        shuffle = np.arange(len(indices))
        random.shuffle(shuffle)
        orders.append(indices[shuffle][:first])
    return orders[0], orders[1]


def used_word_index(corpus: Corpus, indices: NDArray[np.int64], size: int) -> dict[str, int]:
    """The tutorial's word index: Keras's, cut to the numbers that occur in these reviews, and four special tokens.

    As in the tutorial, the numbers in the reviews are ranks + 3 while those of the index are plain ranks, so most of the
    words it keeps are not the ones that were read.
    """
    used = set(clip(np.concatenate([corpus.review(int(index)) for index in indices]), size).tolist())
    index = {word: rank for rank, word in enumerate(corpus.words, 1) if rank in used}
    return index | {token: number for number, token in enumerate(SPECIAL_TOKENS)}
