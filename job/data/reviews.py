"""Views of reviews: which ones of a corpus, and what is read of them."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from job.data import imdb
from job.data.batches import Batch, padded
from job.data.corpus import Corpus
from job.data.parts import holds_both
from job.data.tokens import clip
from job.errors import DataError
from job.presets import Hyperparameters

if TYPE_CHECKING:
    from job.data.evidence import Evidence

# Batches between two releases of mapped pages: each review maps some 64 KiB around itself.
_RELEASE = 4


@dataclass(frozen=True, eq=False)
class Reviews:
    """Some reviews of a corpus, as a network reads them. A review's place is its number in this view, from 0."""

    corpus: Corpus
    indices: NDArray[np.int64]
    """<int64>[reviews], their numbers in the corpus."""
    vocabulary_size: int
    """Token ids from here on are read as the unknown token."""
    max_tokens: int | None = None
    """Only this many tokens at a review's end are read; all of them by default."""
    length: int | None = None
    """What batches are padded to; by default their longest review."""
    evidence: "Evidence | None" = None
    """What n-grams say of the corpus's reviews, where that is read."""
    kinds: int = 0
    """How many of the evidence's numbers are read."""
    soft: NDArray[np.float32] | None = None
    """<float32>[reviews of the corpus], what is trained on instead of the labels."""

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """<int8>[reviews], 0 or 1."""
        return self.corpus.labels[self.indices]

    def with_guesses(self, guesses: NDArray[np.float32]) -> "Reviews":
        """These reviews and the corpus's unlabelled ones, with a teacher's guesses <float32>[reviews of the corpus] for labels."""
        unlabelled, soft = self.corpus.part("unlabelled"), self.corpus.labels.astype(np.float32)
        soft[unlabelled] = guesses[unlabelled]
        return replace(self, indices=np.concatenate([self.indices, unlabelled]), soft=soft)

    @cached_property
    def targets(self) -> NDArray[np.float32]:
        """<float32>[reviews], what is trained on: the labels, or a teacher's guesses."""
        return self.labels.astype(np.float32) if self.soft is None else self.soft[self.indices]

    @cached_property
    def linear(self) -> NDArray[np.float32]:
        """<float32>[reviews], the linear model's logits; 0 without evidence."""
        return np.zeros(len(self), np.float32) if self.evidence is None else self.evidence.logits[self.indices]

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """<uint64>[reviews], of each text's words."""
        return self.corpus.hashes[self.indices]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """<int64>[reviews], the number of tokens read of each."""
        lengths = self.corpus.lengths[self.indices]
        return lengths if self.max_tokens is None else np.minimum(lengths, self.max_tokens)

    def take(self, places: slice | NDArray[np.int64]) -> "Reviews":
        """The reviews at these places alone, read in the same way."""
        return replace(self, indices=self.indices[places])

    def tokens(self, place: int) -> NDArray[np.int32]:
        """What is read of one review: <int32>[tokens]."""
        return clip(self.corpus.review(int(self.indices[place])), self.vocabulary_size, self.max_tokens)

    def numbers(self, place: int) -> NDArray[np.float16]:
        """What n-grams say at each token of one review, <float16>[tokens, kinds]."""
        if self.evidence is None:
            return np.empty((int(self.lengths[place]), 0), np.float16)
        return self.evidence.of(int(self.indices[place]), self.kinds)

    def text(self, place: int) -> str:
        """The words of one review, as in `Corpus.text`."""
        return self.corpus.text(int(self.indices[place]))

    def flat(self) -> NDArray[np.int32]:
        """What is read of all reviews, one after the other: <int32>[all tokens]."""
        pieces = [self.tokens(place) for place in range(len(self))]
        return np.concatenate(pieces) if pieces else np.empty(0, np.int32)

    def flat_numbers(self) -> NDArray[np.float16]:
        """What n-grams say at each token that is read of all reviews, one after the other: <float16>[all tokens, kinds]."""
        pieces = [self.numbers(place) for place in range(len(self))]
        return np.concatenate(pieces) if pieces else np.empty((0, self.kinds), np.float16)

    def batch(self, places: NDArray[np.int64]) -> Batch:
        """The reviews at these places as one padded batch."""
        tokens = padded([self.tokens(int(place)) for place in places], self.length)
        numbers = padded([self.numbers(int(place)) for place in places], self.length)
        return Batch(tokens, self.targets[places], numbers, self.linear[places])

    def batches(self, order: list[NDArray[np.int64]]) -> Iterator[Batch]:
        """The batches of an order, each given by its places."""
        for number, places in enumerate(order, 1):
            yield self.batch(places)
            if number % _RELEASE == 0:
                self.corpus.release()
                if self.evidence is not None:
                    self.evidence.release()


class Parts(NamedTuple):
    """What one network is trained, validated and tested on."""

    train: Reviews
    validation: Reviews
    test: Reviews


def split(corpus: Corpus, values: Hyperparameters) -> Parts:
    """The parts of a corpus for a network. Networks that differ in nothing that matters here get the same objects.

    Raises:
        DataError: A part that is learned from does not hold both classes.
    """
    # The tutorial's network takes every review at one fixed length.
    length = None if values.embedding_size else values.max_tokens
    share = values.validation_share
    if values.most_validation:
        share = min(share, values.most_validation / max(1, len(corpus.part("train"))))
    return _split(corpus, values.first_reviews, share, values.vocabulary_size, values.max_tokens, length)


@functools.lru_cache(maxsize=4)
def _split(
    corpus: Corpus, first_reviews: int, validation_share: float, vocabulary_size: int, max_tokens: int, length: int | None
) -> Parts:
    if first_reviews:
        train, test = (part[:first_reviews] for part in imdb.shuffled(corpus.part("train"), corpus.part("test")))
        validation = train[:0]
    else:
        train, validation = corpus.split_validation(validation_share)
        test = corpus.part("test")
        for name, indices in (("training", train), ("validation", validation)):
            if not holds_both(corpus.labels[indices]):
                raise DataError(
                    f"{corpus.name}: the {name} part ({len(indices)} reviews) does not hold both classes; more distinct texts of each class are needed, at least two for training and validation"
                )
    return Parts(*(Reviews(corpus, indices, vocabulary_size, max_tokens, length) for indices in (train, validation, test)))
