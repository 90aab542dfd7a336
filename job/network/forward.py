"""A network's forward pass: one path for training and for use, on whichever kernel runs the recurrence."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.network import cudnn, loops
from job.network.build import as_input
from job.presets import PAD, START, UNKNOWN, Architecture, Hyperparameters
from job.records.base import Kernel

_TOKENS = tf.TensorSpec([None, None], tf.int32)


class _Lookup(NamedTuple):
    """What a batch finds in an embedding."""

    rows: tf.Tensor
    """<float32>[rows, size], that of padding (or no bigram) first."""
    places: tf.Tensor
    """Which of them stands where, <int32>[batch, length]."""


class Forward:
    """From token ids to logits: what the network computes, with dropout where it is trained.

    A probability rounds to 0 or 1, a logit keeps how sure the network is. Above 0 it says positive.

    Args:
        network: As job/network/build.py makes it.
        kernel: What runs the recurrence: `xla` our own loops (job/network/loops.py), `cudnn` cuDNN's
            (job/network/cudnn.py), `while_loop` Keras's layer.
    """

    def __init__(self, network: keras.Model, values: Hyperparameters, kernel: Kernel) -> None:
        self.network, self.values, self.kernel = network, values, kernel
        self._recurrent = next(
            layer for layer in network.layers if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional))
        )
        two = [self._recurrent.forward_layer, self._recurrent.backward_layer] if values.bidirectional else [self._recurrent]
        self._keras_cells = [layer.cell for layer in two]
        is_lstm = isinstance(self._keras_cells[0], keras.layers.LSTMCell)
        self._architecture = Architecture.lstm if is_lstm else Architecture.rnn
        self._bigrams: NDArray[np.int64] | None = None
        if any(layer.name == "bigram_number" for layer in network.layers):
            known = network.get_layer("bigram_number").get_vocabulary(include_special_tokens=False)
            self._bigrams = np.array(known, np.int64)

    def logits(self, tokens: tf.Tensor, draw: tf.Tensor | None = None) -> tf.Tensor:
        """The logits <float32>[batch]; to be traced, or run as it is.

        Args:
            tokens: <int32>[batch, length]
            draw: <int32>[2], in training, from which alone the dropout is drawn. Without one there is no dropout, and on
                cuDNN no gradient.
        """
        values, training = self.values, draw is not None
        if not values.embedding_size:
            outputs = as_input(values, tokens)
            for layer in self.network.layers[:-1]:
                outputs = layer(outputs, training=training)
            return self._last(outputs)
        if values.word_dropout and draw is not None:
            dropped = tf.random.stateless_uniform(tf.shape(tokens), draw) < values.word_dropout
            tokens = tf.where(dropped & (tokens > START), UNKNOWN, tokens)
        hidden = self._hidden(self._features(tokens, self._look_up(tokens, draw), training))
        return self._last(_dropped(hidden, values.pooled_dropout, draw, 1))

    def predict(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """The logits <float32>[batch] of token ids <int32>[batch, length], without dropout; compiled at the first call."""
        result: NDArray[np.float32] = self._compiled_logits(tokens).numpy()
        return result

    def token_gradients(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """How much each token <int32>[batch, length] moves its review's logit, <float32>[batch, length].

        It is the norm of the logit's gradient by the token's embedding; 0 for padding. Of a network without bigrams.
        """
        result: NDArray[np.float32] = self._compiled_token_gradients(tokens).numpy()
        return result

    @tf.function(input_signature=[_TOKENS], autograph=False)
    def _compiled_logits(self, tokens: tf.Tensor) -> tf.Tensor:
        return self.logits(tokens)

    @tf.function(input_signature=[_TOKENS], autograph=False)
    def _compiled_token_gradients(self, tokens: tf.Tensor) -> tf.Tensor:
        # Each token has a row of its own, so that it has a gradient of its own; the first one is padding's.
        words = tf.concat([[PAD], tf.reshape(tokens, [-1])], 0)
        rows = self._rows("embedding", words)
        places = tf.reshape(tf.range(1, tf.size(words)), tf.shape(tokens))
        with tf.GradientTape() as tape:
            tape.watch(rows)
            features = self._features(tokens, [_Lookup(rows, places)], training=True)
            total = tf.reduce_sum(self._last(self._hidden(features)))
        gradient = tf.convert_to_tensor(tape.gradient(total, rows))[1:]
        return tf.reshape(tf.norm(gradient, axis=1), tf.shape(tokens)) * tf.cast(tokens != PAD, tf.float32)

    def _look_up(self, tokens: tf.Tensor, draw: tf.Tensor | None) -> list[_Lookup]:
        """What stands in the embeddings for a batch <int32>[batch, length]; of the words, and of the bigrams if there are any.

        A batch holds far fewer words than tokens: each is looked up, and can be projected, once.
        """
        values = self.values
        words, places = _distinct(tokens)
        rows = _dropped(self._rows("embedding", words), values.embedding_dropout, draw, 2)
        result = [_Lookup(rows, places)]
        if self._bigrams is None:
            return result
        wide = tf.cast(tokens, tf.int64)
        keys = tf.pad(wide, [[0, 0], [1, 0]])[:, :-1] * values.vocabulary_size + wide
        number = tf.searchsorted(self._bigrams, tf.reshape(keys, [-1]))
        is_known = tf.gather(self._bigrams, tf.minimum(number, len(self._bigrams) - 1)) == tf.reshape(keys, [-1])
        numbers, places = _distinct(tf.reshape(tf.where(is_known, number + 1, 0), tf.shape(tokens)))
        rows = _dropped(self._rows("bigram_embedding", numbers), values.embedding_dropout, draw, 3)
        rows *= _dropped(tf.ones([tf.shape(rows)[0], 1]), values.bigram_dropout, draw, 4)
        return [*result, _Lookup(rows, places)]

    def _rows(self, table: str, numbers: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.network.get_layer(table).embeddings.value, numbers)

    def _features(self, tokens: tf.Tensor, lookups: list[_Lookup], training: bool) -> tf.Tensor:
        """What the head reads of the recurrent layer's states, <float32>[batch, features]."""
        if self.kernel == "xla":
            return self._by_loops(tokens, lookups)
        embedded = tf.concat([tf.gather(rows, places) for rows, places in lookups], axis=-1)
        mask = tf.not_equal(tokens, PAD)
        weight = tf.cast(tf.transpose(mask), tf.float32)[:, :, None]
        if self.kernel == "cudnn":
            cells, activation = self._cells(), self.values.activation
            lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
            inputs = tf.transpose(embedded, [1, 0, 2])
            return self._read(cudnn.recur(self._architecture, activation, inputs, cells, lengths, training), weight)
        outputs = self._recurrent(embedded, mask=mask, training=training)
        if self.values.pooling == "last":
            return outputs
        return self._read([tf.transpose(outputs, [1, 0, 2]) * weight], weight)

    def _by_loops(self, tokens: tf.Tensor, lookups: list[_Lookup]) -> tf.Tensor:
        """Time first, in buffers of few sizes; rows that are only there to fill them are cut off at the end."""
        values, cells = self.values, self._cells()
        count, length = tf.unstack(tf.shape(tokens))
        time, batch = loops.buffer_length(length, values.max_tokens), tf.maximum(count, values.batch_size)

        def filled(array: tf.Tensor) -> tf.Tensor:
            return tf.transpose(tf.pad(array, [[0, batch - count], [0, time - length]]))

        mask = tf.cast(filled(tokens) != PAD, tf.float32)[:, :, None]
        lookups = [_Lookup(rows, filled(places)) for rows, places in lookups]
        is_pooled, results = values.pooling == "max_mean", []
        kind, steps = loops.Kind(self._architecture, values.activation, is_pooled), loops.Steps(mask, length)
        for (kernel, recurrent, projected), backward in zip(cells, (False, True), strict=False):
            first = 0
            for rows, places in lookups:
                size = rows.shape[1]
                projected += tf.gather(tf.matmul(rows, kernel[first : first + size]), places)
                first += size
            results.append(loops.recur(kind, projected, recurrent, steps, backward))
        if is_pooled:
            highest, totals = zip(*results, strict=True)
            return tf.concat([*highest, *loops.means(totals, mask)], axis=1)[:count]
        return self._read([states for (states,) in results], mask)[:count]

    def _cells(self) -> list[cudnn.Cell]:
        return [
            cudnn.Cell(*(tf.convert_to_tensor(weight) for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)))
            for cell in self._keras_cells
        ]

    def _read(self, states: list[tf.Tensor], mask: tf.Tensor) -> tf.Tensor:
        """From each direction's states <float32>[time, batch, units] to the features <float32>[batch, features]."""
        if self.values.pooling == "max_mean":
            return loops.pool(states, mask)
        last = tf.cast(tf.reduce_sum(mask, axis=[0, 2]), tf.int32) - 1
        # A row that only fills a buffer has no last token; any one does.
        at = tf.stack([tf.maximum(last, 0), tf.range(tf.size(last))], axis=1)
        return tf.concat([tf.gather_nd(states[0], at), *(backward[0] for backward in states[1:])], axis=-1)

    def _hidden(self, features: tf.Tensor) -> tf.Tensor:
        return self.network.get_layer("hidden")(features) if self.values.hidden_units else features

    def _last(self, features: tf.Tensor) -> tf.Tensor:
        """What the last layer computes, without its sigmoid."""
        layer = self.network.get_layer("probability")
        return tf.matmul(features, tf.convert_to_tensor(layer.kernel))[:, 0] + layer.bias[0]


def _dropped(array: tf.Tensor, rate: float, draw: tf.Tensor | None, kind: int) -> tf.Tensor:
    """Dropout from the `kind`-th of the eight numbers that a step has for them; without a draw there is none."""
    if not rate or draw is None:
        return array
    kept = tf.random.stateless_uniform(tf.shape(array), draw + tf.constant([0, kind])) >= rate
    return array * tf.cast(kept, tf.float32) / (1.0 - rate)


def _distinct(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The distinct ones of <int>[batch, length], 0 first, and which of them stands where."""
    distinct, places = tf.unique(tf.concat([[0], tf.reshape(numbers, [-1])], 0))
    return distinct, tf.reshape(places[1:], tf.shape(numbers))
