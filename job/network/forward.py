"""A network's forward pass: one path for training and for use, on whichever kernel runs the recurrence."""

from typing import NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.network import cudnn, loops
from job.network.build import as_input
from job.presets import PAD, START, UNKNOWN, Architecture, Hyperparameters
from job.records.base import Kernel

_TOKENS = tf.TensorSpec([None, None], tf.int32)
SIGNATURE = (_TOKENS, tf.TensorSpec([None, None, None], tf.float16), tf.TensorSpec([None], tf.float32))
"""Of `Inputs`."""


class Inputs(NamedTuple):
    """What a network reads of a batch of reviews."""

    tokens: tf.Tensor
    """<int32>[batch, length]"""
    numbers: tf.Tensor
    """<float16>[batch, length, kinds], the evidence's; of no kind where the network reads none."""
    linear: tf.Tensor
    """<float32>[batch], the linear model's logits; 0 where the network reads none."""


class Readable(Protocol):
    """Reviews as arrays."""

    @property
    def tokens(self) -> NDArray[np.int32]:
        """<int32>[batch, length], padded at the end with 0."""

    @property
    def numbers(self) -> NDArray[np.float16]:
        """The evidence's, <float16>[batch, length, kinds]."""

    @property
    def linear(self) -> NDArray[np.float32]:
        """The linear model's logits, <float32>[batch]."""


class Logits(NamedTuple):
    """What a network says of a batch, both <float32>[batch]."""

    whole: tf.Tensor
    alone: tf.Tensor
    """Without what the linear model adds."""


class Share(NamedTuple):
    """The reviews of a batch that this process computes, where several share it."""

    places: tf.Tensor
    """<int32>[own reviews], in the batch."""
    batch: tf.Tensor
    """<int32>[], reviews of all."""
    processes: int
    """That share it."""


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

    def logits(self, inputs: Inputs, draw: tf.Tensor | None = None, share: Share | None = None) -> Logits:
        """The logits; to be traced, or run as it is.

        Args:
            draw: <int32>[2], in training, from which alone the dropout is drawn. Without one there is no dropout, and on
                cuDNN no gradient.
            share: Of the reviews only these; each has the dropout that it has in the whole batch.
        """
        values, training = self.values, draw is not None
        tokens, numbers, linear = inputs
        if not values.embedding_size:
            outputs = as_input(values, tf.gather(tokens, share.places) if share else tokens)
            for layer in self.network.layers[:-1]:
                outputs = layer(outputs, training=training)
            alone = self._last(outputs)
            return Logits(alone, alone)
        numbers = tf.cast(numbers, tf.float32)
        if values.word_dropout and draw is not None:
            dropped = (tf.random.stateless_uniform(tf.shape(tokens), draw) < values.word_dropout) & (tokens > START)
            tokens = tf.where(dropped, UNKNOWN, tokens)
            if values.evidence:
                numbers *= _without(dropped, values.evidence)
        lookup, rows = self._look_up(tokens, draw), values.batch_size
        if share:
            rows = -(-rows // share.processes)
            linear = tf.gather(linear, share.places)
            tokens, places, numbers = _shared(share, tokens, lookup.places, numbers)
            lookup = lookup._replace(places=places)
        hidden = self._hidden(self._features(tokens, lookup, training, numbers, rows))
        alone = self._last(_dropped(hidden, values.pooled_dropout, draw, 1, share))
        if not values.linear_path:
            return Logits(alone, alone)
        return Logits(alone + self.network.get_layer("linear_path").kernel[0, 0] * linear, alone)

    def predict(self, batch: "Readable") -> NDArray[np.float32]:
        """The logits <float32>[batch] of a batch, without dropout; compiled at the first call."""
        result: NDArray[np.float32] = self._compiled_logits(batch.tokens, batch.numbers, batch.linear).numpy()
        return result

    def token_gradients(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """How much each token <int32>[batch, length] moves its review's logit, <float32>[batch, length].

        It is the norm of the logit's gradient by the token's embedding; 0 for padding. Of a network without evidence.
        """
        result: NDArray[np.float32] = self._compiled_token_gradients(tokens).numpy()
        return result

    @tf.function(input_signature=SIGNATURE, autograph=False)
    def _compiled_logits(self, tokens: tf.Tensor, numbers: tf.Tensor, linear: tf.Tensor) -> tf.Tensor:
        return self.logits(Inputs(tokens, numbers, linear)).whole

    @tf.function(input_signature=[_TOKENS], autograph=False)
    def _compiled_token_gradients(self, tokens: tf.Tensor) -> tf.Tensor:
        # Each token has a row of its own, so that it has a gradient of its own; the first one is padding's.
        words = tf.concat([[PAD], tf.reshape(tokens, [-1])], 0)
        rows = self._rows("embedding", words)
        places = tf.reshape(tf.range(1, tf.size(words)), tf.shape(tokens))
        with tf.GradientTape() as tape:
            tape.watch(rows)
            nothing = tf.zeros([*tf.unstack(tf.shape(tokens)), 0])
            features = self._features(tokens, _Lookup(rows, places), True, nothing, self.values.batch_size)
            total = tf.reduce_sum(self._last(self._hidden(features)))
        gradient = tf.convert_to_tensor(tape.gradient(total, rows))[1:]
        return tf.reshape(tf.norm(gradient, axis=1), tf.shape(tokens)) * tf.cast(tokens != PAD, tf.float32)

    def _look_up(self, tokens: tf.Tensor, draw: tf.Tensor | None) -> _Lookup:
        """What stands in the embedding for a batch <int32>[batch, length].

        A batch holds far fewer words than tokens: each is looked up, and can be projected, once.
        """
        rows = self.network.get_layer("embedding").input_dim
        own = tokens if rows >= self.values.vocabulary_size else tf.where(tokens < rows, tokens, UNKNOWN)
        words, places = _distinct(own)
        return _Lookup(_dropped(self._rows("embedding", words), self.values.embedding_dropout, draw, 2), places)

    def _rows(self, table: str, numbers: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.network.get_layer(table).embeddings.value, numbers)

    def _features(self, tokens: tf.Tensor, lookup: _Lookup, training: bool, numbers: tf.Tensor, batch_size: int) -> tf.Tensor:
        """What the head reads of the recurrent layer's states, <float32>[batch, features].

        Args:
            numbers: <float32>[batch, length, kinds], the evidence's.
            batch_size: Of most batches.
        """
        if self.kernel == "xla":
            return self._by_loops(tokens, lookup, numbers, batch_size)
        embedded = tf.concat([tf.gather(*lookup), numbers], axis=-1)
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

    def _by_loops(self, tokens: tf.Tensor, lookup: _Lookup, numbers: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Time first, in buffers of few sizes; rows that are only there to fill them are cut off at the end."""
        values, cells = self.values, self._cells()
        count, length = tf.unstack(tf.shape(tokens))
        time, batch = loops.buffer_length(length, values.max_tokens), tf.maximum(count, batch_size)

        def filled(array: tf.Tensor) -> tf.Tensor:
            return tf.transpose(tf.pad(array, [[0, batch - count], [0, time - length]]))

        mask = tf.cast(filled(tokens) != PAD, tf.float32)[:, :, None]
        rows, places = lookup.rows, filled(lookup.places)
        if values.evidence:
            numbers = tf.transpose(tf.pad(numbers, [[0, batch - count], [0, time - length], [0, 0]]), [1, 0, 2])
        is_pooled, results = values.pooling == "max_mean", []
        kind, steps = loops.Kind(self._architecture, values.activation, is_pooled), loops.Steps(mask, length)
        for (kernel, recurrent, bias), backward in zip(cells, (False, True), strict=False):
            size = values.embedding_size
            # The bias, too, once for each word instead of once for each token.
            projected = tf.gather(tf.matmul(rows, kernel[:size]) + bias, places)
            if values.evidence:
                projected += tf.matmul(numbers, kernel[size:])
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


def _shared(share: Share, *arrays: tf.Tensor) -> list[tf.Tensor]:
    """Of the first array, which are tokens, and of others of its shape, one's own reviews, as long as they need to be."""
    tokens, *others = (tf.gather(array, share.places) for array in arrays)
    # A share may hold no review.
    longest = tf.reduce_max(tf.pad(tf.math.count_nonzero(tokens, axis=1), [[1, 0]], constant_values=1))
    return [array[:, :longest] for array in (tokens, *others)]


def _dropped(array: tf.Tensor, rate: float, draw: tf.Tensor | None, kind: int, share: Share | None = None) -> tf.Tensor:
    """Dropout from the `kind`-th of the eight numbers that a step has for them; without a draw there is none.

    Args:
        share: Where the array's rows are only those of a share.
    """
    if not rate or draw is None:
        return array
    shape = tf.tensor_scatter_nd_update(tf.shape(array), [[0]], [share.batch]) if share else tf.shape(array)
    kept = tf.random.stateless_uniform(shape, draw + tf.constant([0, kind])) >= rate
    kept = tf.gather(kept, share.places) if share else kept
    return array * tf.cast(kept, tf.float32) / (1.0 - rate)


def _without(dropped: tf.Tensor, kinds: int) -> tf.Tensor:
    """What of the evidence's numbers is left where words are dropped <bool>[batch, length]: <float32>[batch, length, kinds].

    Nothing of an n-gram that holds one.
    """
    kept = tf.cast(~dropped, tf.float32)
    before = [tf.pad(kept, [[0, 0], [back, 0]], constant_values=1.0)[:, : tf.shape(kept)[1]] for back in (1, 2)]
    by_order = [kept, kept * before[0], kept * before[0] * before[1]]
    return tf.stack(by_order * (kinds // 3), axis=2)


def _distinct(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The distinct ones of <int>[batch, length], 0 first, and which of them stands where."""
    distinct, places = tf.unique(tf.concat([[0], tf.reshape(numbers, [-1])], 0))
    return distinct, tf.reshape(places[1:], tf.shape(numbers))
