"""From texts to probabilities: a model with its vocabulary, asked about texts of whatever length."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores
from job.data import batches, ngrams
from job.data.tokens import FIRST_WORD_ID, Vocabulary, clip
from job.output.results import LinearWeights
from job.presets import HALF, Architecture, ModelName

if TYPE_CHECKING:
    from job.network.forward import Forward


class Predictor(ABC):
    """A model, and the vocabulary that its token ids are of.

    Args:
        words: The vocabulary by rank.
        vocabulary_size: Token ids from here on the model reads as the unknown token.
        max_tokens: Only this many tokens at a text's end are read; all of them by default.
        threshold: Above it a probability is labelled positive.
    """

    def __init__(
        self,
        name: ModelName,
        words: list[str],
        vocabulary_size: int,
        max_tokens: int | None = None,
        threshold: float = HALF,
    ) -> None:
        self.name, self.threshold = name, threshold
        self._size, self._max_tokens = vocabulary_size, max_tokens
        self._vocabulary = Vocabulary(words[: max(0, vocabulary_size - FIRST_WORD_ID)])

    @property
    def ids(self) -> dict[str, int]:
        """Token ids by word, of the words that the model knows."""
        return self._vocabulary.ids

    def probabilities(self, texts: list[str]) -> NDArray[np.float32]:
        """How likely each text is positive, <float32>[texts]."""
        return self.of_tokens(self.encode(texts))

    def encode(self, texts: list[str]) -> list[NDArray[np.int32]]:
        """What the model reads of each text: token ids <int32>[tokens]."""
        return [self._vocabulary.encode(text, self._size, self._max_tokens) for text in texts]

    def of_tokens(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """The same as `probabilities` for reviews as token ids <int32>[tokens], the start token first: <float32>[reviews]."""
        return scores.probabilities(self._logits([clip(review, self._size, self._max_tokens) for review in reviews]))

    @abstractmethod
    def _logits(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """<float32>[reviews] of what is read of each, <int32>[tokens]."""


def known_words(review: NDArray[np.int32]) -> int:
    """How many of the words that a model reads, as token ids <int32>[tokens], it knows."""
    return int(np.count_nonzero(review >= FIRST_WORD_ID))


class NetworkPredictor(Predictor):
    """A recurrent network."""

    def __init__(self, architecture: Architecture, forward: "Forward", words: list[str], threshold: float = HALF) -> None:
        values = forward.values
        super().__init__(ModelName(architecture), words, values.vocabulary_size, values.max_tokens, threshold)
        self.forward = forward

    def _logits(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        values = self.forward.values
        length = None if values.embedding_size else values.max_tokens
        logits = np.empty(len(reviews), np.float32)
        for places in batches.evaluation_order(np.array([len(review) for review in reviews], np.int64), values.batch_size):
            logits[places] = self.forward.predict(batches.padded([reviews[place] for place in places], length))
        return logits


class LinearPredictor(Predictor):
    """The baseline. It reads whole texts, and needs no TensorFlow."""

    def __init__(self, weights: LinearWeights, words: list[str], threshold: float = HALF) -> None:
        super().__init__(ModelName.baseline, words, int(weights.vocabulary_size[0]), threshold=threshold)
        self.weights = weights
        of_words = np.zeros(self._size)
        of_words[: len(weights.words)] = weights.words
        self._by_feature = np.concatenate([of_words, weights.bigram_weights])

    def _logits(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        owners = np.repeat(np.arange(len(reviews)), [len(review) for review in reviews])
        tokens = np.concatenate(reviews).astype(np.int64)
        found = ngrams.occurrences(tokens, owners, len(reviews), self.weights.bigrams, self._size)
        return np.asarray(found @ self._by_feature + self.weights.bias[0], np.float32)
