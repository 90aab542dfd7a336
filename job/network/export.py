"""The SavedModel: a text in, a probability out, with tokenizer and vocabulary inside. Needs TensorFlow alone, and no GPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.analysis import ensemble
from job.data.evidence import Tables
from job.data.ngrams import Ngrams
from job.data.tokens import FIRST_WORD_ID, Vocabulary
from job.files import native
from job.network.build import as_input
from job.network.predictor import EnsemblePredictor, LinearPredictor, NetworkPredictor, Predictor
from job.network.tokenizer import Tokenizer
from job.output.results import LinearWeights
from job.presets import HALF, PAD, START, UNKNOWN, Hyperparameters


class _NgramTable(tf.Module):
    """`Ngrams.ending` and what is looked up by it, in TensorFlow's own operations.

    Args:
        values: <float>[features + 1, columns]; the last row is of what is no feature.
    """

    def __init__(self, ngrams: Ngrams, values: NDArray[Any]) -> None:
        super().__init__()
        self._size, self._count = ngrams.vocabulary_size, len(ngrams)
        # Behind the last key, so that a search never ends outside.
        ends = np.iinfo(np.int64).max
        self._keys = [tf.Variable(np.append(keys, ends), trainable=False) for keys in (ngrams.bigrams, ngrams.trigrams)]
        self._values = tf.Variable(values, trainable=False)

    def ending(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """The features that end at each token, <int64>[tokens, 3]; where there is none, the number of features."""
        ids, owners = tf.cast(tokens.flat_values, tf.int64), tokens.value_rowids()

        def earlier(back: int) -> tf.Tensor:
            """The token before in the same review, and 0 where there is none."""
            same = tf.pad(owners, [[back, 0]], constant_values=-1)[: tf.size(owners)] == owners
            return tf.where(same, tf.pad(ids, [[back, 0]])[: tf.size(ids)], 0)

        first, found = tf.constant(self._size, tf.int64), [tf.where(ids >= FIRST_WORD_ID, ids, self._count)]
        key, is_whole = ids, ids >= FIRST_WORD_ID
        before, scale = (earlier(1), earlier(2)), 1
        for keys, each in zip(self._keys, before, strict=True):
            scale *= self._size
            key, is_whole = each * scale + key, is_whole & (each >= FIRST_WORD_ID)
            places = tf.searchsorted(keys, key, out_type=tf.int64)
            found.append(tf.where(is_whole & (tf.gather(keys, places) == key), first + places, self._count))
            first += tf.size(keys, tf.int64) - 1
        return tf.stack(found, axis=1)

    def values(self, features: tf.Tensor) -> tf.Tensor:
        """What stands in the table: <float32>[…, columns]."""
        return tf.cast(tf.gather(self._values, features), tf.float32)

    def sums(self, tokens: tf.RaggedTensor, features: tf.Tensor, column: int, scales: list[float]) -> tf.Tensor:
        """For each review the sum of a column over the features that it has, each counted once: <float32>[reviews].

        Args:
            scales: Of words, pairs and triples.
        """
        count = self._count + 1
        total = tf.zeros([tokens.nrows()])
        for order, scale in enumerate(scales):
            cells, _ = tf.unique(tokens.value_rowids() * count + features[:, order])
            found = self.values(cells % count)[:, column] * scale
            total += tf.math.unsorted_segment_sum(found, cells // count, tokens.nrows())
        return total


class Member(Protocol):
    """A model of which a `TextModel` is made."""

    def logits(self, words: tf.RaggedTensor) -> tf.Tensor:
        """Not probabilities, which near 1 are rounded: <float32>[batch] of token ids <int32>[batch, words], without a start token."""


class NetworkMember(tf.Module):
    """A network.

    Args:
        table: Where its evidence is looked up, if it reads any; networks may share one.
    """

    def __init__(
        self, network: keras.Model, values: Hyperparameters, tables: Tables | None, table: _NgramTable | None = None
    ) -> None:
        super().__init__()
        self._last, self._values, self._tables = network.layers[-1], values, tables
        inputs = network.inputs
        self._before_last = keras.Model(inputs if len(inputs) > 1 else inputs[0], self._last.input)
        self.table = table or (_NgramTable(tables.ngrams, tables.values) if tables else None)

    def logits(self, words: tf.RaggedTensor) -> tf.Tensor:
        """See `Member`."""
        values, tokens = self._values, self.encode(words)
        if not values.evidence:
            length = None if values.embedding_size else values.max_tokens
            return self._ask(as_input(values, tokens.to_tensor(PAD, shape=[None, length])))
        assert self.table is not None
        assert self._tables is not None
        features = self.table.ending(tokens)
        found = self.table.values(features)
        by_kind = tf.concat([found[:, :, 0], found[:, :, 1]], axis=1)[:, : values.evidence]
        numbers = tokens.with_flat_values(by_kind).to_tensor(0.0, shape=[None, None, values.evidence])
        linear = self.table.sums(tokens, features, 1, self._tables.scales[3:].tolist()) + float(self._tables.bias)
        return self._ask([tokens.to_tensor(PAD), numbers, linear[:, None]])

    def _ask(self, inputs: Any) -> tf.Tensor:
        """What the network says before its sigmoid, which is its last layer or that layer's activation."""
        found = self._before_last(inputs, training=False)
        if isinstance(self._last, keras.layers.Dense):
            found = tf.matmul(found, tf.convert_to_tensor(self._last.kernel)) + self._last.bias
        return found[:, 0]

    def encode(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        """What the network reads: <int32>[batch, tokens]."""
        ids = tf.concat([tf.fill([words.nrows(), 1], START), words], axis=1)
        # A review's last tokens are read.
        ids = ids[:, -self._values.max_tokens :]
        return ids.with_flat_values(tf.where(ids.flat_values < self._values.vocabulary_size, ids.flat_values, UNKNOWN))


class LinearMember(tf.Module):
    """The baseline: `ngrams.occurrences` and its weights."""

    def __init__(self, weights: LinearWeights) -> None:
        super().__init__()
        self._size, self._bias = int(weights.vocabulary_size[0]), float(weights.bias[0])
        known = Ngrams(self._size, weights.bigrams, weights.trigrams)
        self._table = _NgramTable(known, np.append(weights.by_feature(), np.float32(0))[:, None])

    def logits(self, words: tf.RaggedTensor) -> tf.Tensor:
        """See `Member`."""
        words = words.with_flat_values(tf.where(words.flat_values < self._size, words.flat_values, UNKNOWN))
        return self._table.sums(words, self._table.ending(words), 0, [1.0, 1.0, 1.0]) + self._bias


class TextModel(tf.Module):
    """A model, or an ensemble of several, behind the tokenizer.

    Args:
        members: Each with its weight, of one alone 1.
        vocabulary: All of it.
        threshold: Above it a probability is labelled positive.
    """

    def __init__(self, members: Sequence[tuple[Member, float]], vocabulary: Vocabulary, threshold: float = HALF) -> None:
        super().__init__()
        self._members, self._weights = [member for member, _ in members], [weight for _, weight in members]
        self._threshold, self.tokenizer = threshold, Tokenizer(vocabulary)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """From <string>[batch], UTF-8, to `probability` <float32>[batch] of being positive, and `label` <string>[batch]."""
        # Of no text at all, a recurrent layer fails; so one is added, and taken out of the answer.
        count = tf.size(text)
        words = self.tokenizer.ids(tf.concat([text, tf.fill([tf.cast(count == 0, tf.int32)], "")], axis=0))
        found = [member.logits(words) for member in self._members]
        if len(found) > 1:
            votes = [tf.clip_by_value(each, -ensemble.SUREST, ensemble.SUREST) for each in found]
            found = [tf.add_n([weight * each for each, weight in zip(votes, self._weights, strict=True)])]
        probability = tf.sigmoid(found[0])[:count]
        return {
            "probability": probability,
            "label": tf.where(probability > np.float32(self._threshold), "positive", "negative"),
        }


def text_model(predictor: Predictor) -> TextModel:
    """What a predictor does, as TensorFlow's operations."""
    parts = predictor.members if isinstance(predictor, EnsemblePredictor) else [(predictor, 1.0)]
    members: list[tuple[Member, float]] = []
    shared: dict[int, _NgramTable] = {}
    for each, weight in parts:
        if isinstance(each, NetworkPredictor):
            member = NetworkMember(each.forward.network, each.forward.values, each.tables, shared.get(id(each.tables)))
            if member.table:
                shared[id(each.tables)] = member.table
            members.append((member, weight))
        elif isinstance(each, LinearPredictor):
            members.append((LinearMember(each.weights), weight))
    return TextModel(members, predictor.vocabulary, predictor.threshold)


def save(model: TextModel, folder: Path) -> None:
    """Writes a SavedModel, with `serving_default` as its signature, to a folder; raises `OSError` if it cannot be written."""
    with native.writes():
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
