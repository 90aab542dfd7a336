"""From texts to probabilities: a model with its vocabulary, asked about texts of whatever length."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from job.analysis import ensemble, scores
from job.data import batches, ngrams
from job.data.evidence import Tables
from job.data.ngrams import Ngrams
from job.data.tokens import FIRST_WORD_ID, Vocabulary, clip
from job.output.results import LinearWeights
from job.presets import HALF, Architecture, ModelName

if TYPE_CHECKING:
    from job.network.forward import Forward


class Predictor(ABC):
    """A model, and the vocabulary that its token ids are of.

    Args:
        vocabulary: All of it.
        vocabulary_size: Token ids from here on the model reads as the unknown token.
        max_tokens: Only this many tokens at a text's end are read; all of them by default.
        threshold: Above it a probability is labelled positive.
    """

    def __init__(
        self,
        name: ModelName,
        vocabulary: Vocabulary,
        vocabulary_size: int,
        max_tokens: int | None = None,
        threshold: float = HALF,
    ) -> None:
        self.name, self.vocabulary, self.threshold = name, vocabulary, threshold
        self.vocabulary_size = self._size = vocabulary_size
        self._max_tokens = max_tokens
        self._known = vocabulary.up_to(vocabulary_size)

    @property
    def ids(self) -> dict[str, int]:
        """Token ids by word, of the words that the model knows."""
        return self._known.ids

    def probabilities(self, texts: list[str]) -> NDArray[np.float32]:
        """How likely each text is positive, <float32>[texts]."""
        return self.of_tokens(self.encode(texts))

    def encode(self, texts: list[str]) -> list[NDArray[np.int32]]:
        """What the model reads of each text: token ids <int32>[tokens]."""
        return [self._known.encode(text, self._size, self._max_tokens) for text in texts]

    def of_tokens(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """The same as `probabilities` for reviews as token ids <int32>[tokens], the start token first: <float32>[reviews]."""
        return scores.probabilities(self.logits(reviews))

    def logits(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """How sure, of the same reviews: <float32>[reviews], above 0 where it says positive."""
        return self._logits([clip(review, self._size, self._max_tokens) for review in reviews])

    @abstractmethod
    def _logits(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """<float32>[reviews] of what is read of each, <int32>[tokens]."""


def known_words(review: NDArray[np.int32]) -> int:
    """How many of the words that a model reads, as token ids <int32>[tokens], it knows."""
    return int(np.count_nonzero(review >= FIRST_WORD_ID))


class NetworkPredictor(Predictor):
    """A recurrent network.

    Args:
        tables: Where its evidence is looked up, if it reads any.
    """

    def __init__(
        self,
        architecture: Architecture,
        forward: "Forward",
        vocabulary: Vocabulary,
        threshold: float = HALF,
        tables: Tables | None = None,
    ) -> None:
        values = forward.values
        super().__init__(ModelName(architecture), vocabulary, values.vocabulary_size, values.max_tokens, threshold)
        self.forward, self.tables = forward, tables

    def _logits(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        lengths = np.array([len(review) for review in reviews], np.int64)
        logits = np.empty(len(reviews), np.float32)
        for places in batches.evaluation_order(lengths, self.forward.values.batch_size):
            logits[places] = self.forward.predict(self._batch([reviews[place] for place in places]))
        return logits

    def _batch(self, reviews: list[NDArray[np.int32]]) -> batches.Batch:
        values, count = self.forward.values, len(reviews)
        length = None if values.embedding_size else values.max_tokens
        tokens, nothing = batches.padded(reviews, length), np.zeros(count, np.float32)
        if self.tables is None:
            return batches.Batch(tokens, nothing, np.zeros((*tokens.shape, 0), np.float16), nothing)
        lengths = [len(review) for review in reviews]
        flat, owners = np.concatenate(reviews), np.repeat(np.arange(count), lengths)
        numbers = self.tables.numbers(flat, owners)[:, : values.evidence]
        pieces = np.split(numbers, np.cumsum(lengths)[:-1])
        return batches.Batch(tokens, nothing, batches.padded(pieces), self.tables.logits(flat, owners, count))


class LinearPredictor(Predictor):
    """The baseline. It reads whole texts, and needs no TensorFlow."""

    def __init__(self, weights: LinearWeights, vocabulary: Vocabulary, threshold: float = HALF) -> None:
        super().__init__(ModelName.baseline, vocabulary, int(weights.vocabulary_size[0]), threshold=threshold)
        self.weights = weights
        self._ngrams = Ngrams(self._size, weights.bigrams, weights.trigrams)
        self._by_feature = weights.by_feature().astype(np.float64)

    def _logits(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        owners = np.repeat(np.arange(len(reviews)), [len(review) for review in reviews])
        found = ngrams.occurrences(np.concatenate(reviews), owners, len(reviews), self._ngrams)
        return np.asarray(found @ self._by_feature + self.weights.bias[0], np.float32)


class EnsemblePredictor(Predictor):
    """The weighted mean of several models' logits.

    Args:
        members: Each with its weight.
    """

    def __init__(self, members: list[tuple[Predictor, float]], vocabulary: Vocabulary, threshold: float = HALF) -> None:
        super().__init__(
            ModelName.ensemble, vocabulary, max(member.vocabulary_size for member, _ in members), threshold=threshold
        )
        self.members = members

    def _logits(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        votes = [weight * ensemble.bounded(member.logits(reviews)) for member, weight in self.members]
        return np.asarray(np.sum(votes, axis=0), np.float32)
