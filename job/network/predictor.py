"""From texts to probabilities: a network with its vocabulary, asked about texts of whatever length."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores
from job.data import batches
from job.data.tokens import FIRST_WORD_ID, Vocabulary, clip
from job.presets import Architecture

if TYPE_CHECKING:
    from job.network.forward import Forward


class Predictor:
    """A network of one architecture, and the vocabulary that its token ids are of.

    Args:
        words: The vocabulary by rank.
    """

    def __init__(self, architecture: Architecture, forward: "Forward", words: list[str]) -> None:
        self.architecture, self.forward = architecture, forward
        self._vocabulary = Vocabulary(words[: max(0, forward.values.vocabulary_size - FIRST_WORD_ID)])

    @property
    def ids(self) -> dict[str, int]:
        """Token ids by word, of the words that the network knows."""
        return self._vocabulary.ids

    def probabilities(self, texts: list[str]) -> NDArray[np.float32]:
        """How likely each text is positive, <float32>[texts]."""
        size = self.forward.values.vocabulary_size
        return self.of_tokens([self._vocabulary.encode(text, size) for text in texts])

    def of_tokens(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """The same for reviews as token ids <int32>[tokens], the start token first: <float32>[reviews]."""
        values = self.forward.values
        length = None if values.embedding_size else values.max_tokens
        reviews = [clip(review, values.vocabulary_size, values.max_tokens) for review in reviews]
        logits = np.empty(len(reviews), np.float32)
        for places in batches.evaluation_order(np.array([len(review) for review in reviews], np.int64), values.batch_size):
            logits[places] = self.forward.predict(batches.padded([reviews[place] for place in places], length))
        return scores.probabilities(logits)
