"""The two networks, in stock Keras layers: embedding, recurrent layer, pooling, one logit."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job import kernels
from job.config import PAD, START, UNKNOWN, Architecture, Hyperparameters

# Far below any tanh output, so that padding never is the maximum.
_BELOW = -2.0


def build(architecture: Architecture, values: Hyperparameters, seed: int) -> keras.Model:
    """Builds a network that maps a batch of reviews to probabilities <float32>[batch, 1] of being positive.

    Its input is <int32>[batch, length] token ids, padded at the end with 0; with `embedding_size` 0 it is
    <float32>[batch, 1, max_tokens], each review one time step of raw ids, as in the tutorial.
    The weights are drawn from `seed`.
    """
    keras.utils.set_random_seed(seed)
    layer = _recurrent(architecture, values)
    if not values.embedding_size:
        network = keras.Sequential([keras.Input((1, values.max_tokens)), layer])
        if values.hidden_units:
            network.add(keras.layers.Dense(values.hidden_units, activation="relu"))
        network.add(keras.layers.Dense(1, activation="sigmoid", name="probability"))
        return network

    tokens = keras.Input((None,), dtype="int32", name="tokens")
    embedded = keras.layers.Embedding(values.vocabulary_size, values.embedding_size, name="embedding")(tokens)
    outputs = _after_embedding(tokens, embedded, layer, values)
    return keras.Model(tokens, outputs)


def _recurrent(architecture: Architecture, values: Hyperparameters) -> keras.layers.Layer:
    cls = {Architecture.rnn: keras.layers.SimpleRNN, Architecture.lstm: keras.layers.LSTM}[architecture]
    # Without an embedding this is the tutorial's layer, left as Keras makes it.
    extra: dict[str, Any] = {}
    if values.embedding_size:
        extra = {
            "recurrent_initializer": keras.initializers.Orthogonal(gain=values.recurrent_gain),
            "return_sequences": values.pooling == "max_mean",
        }
    layer = cls(values.units, activation=values.activation, name=str(architecture), **extra)
    return keras.layers.Bidirectional(layer, name="bidirectional") if values.bidirectional else layer


def _after_embedding(tokens: Any, embedded: Any, layer: keras.layers.Layer, values: Hyperparameters) -> Any:
    mask = keras.ops.not_equal(tokens, PAD)
    outputs = layer(embedded, mask=mask)
    if values.pooling == "max_mean":
        weight = keras.ops.expand_dims(keras.ops.cast(mask, "float32"), -1)
        total = keras.ops.sum(outputs * weight, axis=1)
        mean = total / keras.ops.sum(weight, axis=1)
        highest = keras.ops.max(outputs * weight + _BELOW * (1.0 - weight), axis=1)
        outputs = keras.layers.Concatenate(name="max_mean")([highest, mean])
    if values.hidden_units:
        outputs = keras.layers.Dense(values.hidden_units, activation="relu", name="hidden")(outputs)
    return keras.layers.Dense(1, activation="sigmoid", name="probability")(outputs)


def forward(network: keras.Model, values: Hyperparameters, kernel: str, tokens: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """The logits <float32>[batch] in training: as the network computes them, with both kinds of dropout.

    Args:
        kernel: What runs the recurrence: `xla` our own loops (job/kernels.py), anything else Keras's layer.
        tokens: <int32>[batch, length]
        draw: <int32>[2], from which alone the dropout is drawn.
    """
    if not values.embedding_size:
        outputs = as_input(values, tokens)
        for layer in network.layers[:-1]:
            outputs = layer(outputs, training=True)
        return _logits(network, outputs)
    if values.word_dropout:
        dropped = tf.random.stateless_uniform(tf.shape(tokens), draw) < values.word_dropout
        tokens = tf.where(dropped & (tokens > START), UNKNOWN, tokens)
    channels = None
    if values.spatial_dropout:
        keep = 1.0 - values.spatial_dropout
        kept = tf.random.stateless_uniform([tf.shape(tokens)[0], 1, values.embedding_size], draw + 1) < keep
        channels = tf.cast(kept, tf.float32) / keep
    pooled = (_with_our_loops if kernel == "xla" else _with_keras)(network, values, tokens, channels)
    return _logits(network, _hidden(network, values, pooled))


def _hidden(network: keras.Model, values: Hyperparameters, pooled: tf.Tensor) -> tf.Tensor:
    return network.get_layer("hidden")(pooled) if values.hidden_units else pooled


def _recurrent_layer(network: keras.Model) -> keras.layers.Layer:
    return next(each for each in network.layers if isinstance(each, (keras.layers.RNN, keras.layers.Bidirectional)))


def _with_keras(network: keras.Model, values: Hyperparameters, tokens: tf.Tensor, channels: tf.Tensor | None) -> tf.Tensor:
    """The pooled states, <float32>[batch, features], by the network's own layers."""
    embedded = network.get_layer("embedding")(tokens)
    if channels is not None:
        embedded *= channels
    mask = tf.not_equal(tokens, PAD)
    outputs = _recurrent_layer(network)(embedded, mask=mask, training=True)
    if values.pooling == "max_mean":
        weight = tf.cast(mask, tf.float32)[:, :, None]
        mean = tf.reduce_sum(outputs * weight, axis=1) / tf.reduce_sum(weight, axis=1)
        highest = tf.reduce_max(outputs * weight + _BELOW * (1.0 - weight), axis=1)
        outputs = tf.concat([highest, mean], axis=-1)
    return outputs


def _with_our_loops(network: keras.Model, values: Hyperparameters, tokens: tf.Tensor, channels: tf.Tensor | None) -> tf.Tensor:
    """The same, time first, in buffers of few sizes; rows that are only there to fill them are cut off at the end."""
    layer = _recurrent_layer(network)
    cells = [layer.forward_layer.cell, layer.backward_layer.cell] if values.bidirectional else [layer.cell]
    architecture = Architecture.lstm if isinstance(cells[0], keras.layers.LSTMCell) else Architecture.rnn
    count, length = tf.unstack(tf.shape(tokens))
    time, batch = kernels.buffer_length(length, values.max_tokens), tf.maximum(count, values.batch_size)
    tokens = tf.transpose(tf.pad(tokens, [[0, batch - count], [0, time - length]]))
    mask = tf.cast(tokens != PAD, tf.float32)[:, :, None]
    # A batch holds far fewer words than tokens: each is looked up, and where dropout allows projected, once.
    words, places = tf.unique(tf.reshape(tokens, [-1]))
    rows = tf.gather(network.get_layer("embedding").embeddings.value, words)
    if channels is not None:
        embedded = tf.reshape(tf.gather(rows, places), [time, batch, values.embedding_size])
        embedded *= tf.pad(tf.transpose(channels, [1, 0, 2]), [[0, 0], [0, batch - count], [0, 0]])
        rows = tf.reshape(embedded, [-1, values.embedding_size])
    states = []
    for cell, backward in zip(cells, (False, True), strict=False):
        projected = tf.matmul(rows, tf.convert_to_tensor(cell.kernel)) + tf.convert_to_tensor(cell.bias)
        if channels is None:
            projected = tf.gather(projected, places)
        projected = tf.reshape(projected, [time, batch, cell.kernel.shape[1]])
        recurrent = tf.convert_to_tensor(cell.recurrent_kernel)
        states.append(kernels.recur(architecture, projected, recurrent, mask, length, backward))
    if values.pooling == "max_mean":
        pooled = [kernels.pool(each, mask) for each in states]
        return tf.concat([highest for highest, _ in pooled] + [mean for _, mean in pooled], axis=-1)[:count]
    lengths = tf.cast(tf.reduce_sum(mask, axis=[0, 2]), tf.int32)
    last = tf.stack([lengths - 1, tf.range(batch)], axis=1)[:count]
    return tf.concat([tf.gather_nd(states[0], last), *(each[0, :count] for each in states[1:])], axis=-1)


def _logits(network: keras.Model, features: tf.Tensor) -> tf.Tensor:
    """What the last layer computes, without its sigmoid: a probability rounds to 0 or 1, a logit keeps how sure it is."""
    layer = network.get_layer("probability")
    return tf.matmul(features, tf.convert_to_tensor(layer.kernel))[:, 0] + layer.bias[0]


def as_input(values: Hyperparameters, tokens: tf.Tensor) -> tf.Tensor:
    """What the network takes for a batch of token ids <int32>[batch, length]."""
    return tokens if values.embedding_size else tf.cast(tokens, tf.float32)[:, None, :]


def _summed(gradient: Any) -> Any:
    """A gradient in which no row occurs twice."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, each variable updated by one operation of TensorFlow's instead of a dozen."""

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        # Rows are measured and scaled as rows, not as the whole table that they are of.
        grads = [_summed(gradient) for gradient in grads]
        if self.global_clipnorm:
            grads, _ = tf.clip_by_global_norm(grads, self.global_clipnorm)
        return grads

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        step = tf.cast(self.iterations.value, tf.float32) + 1.0
        place = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )


def optimizer(values: Hyperparameters, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer, its schedule laid out over `steps`, the most that training can take."""
    rate: Any = values.learning_rate
    if values.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(values.learning_rate, steps)
    cls = {"adam": FusedAdam, "rmsprop": keras.optimizers.RMSprop}[values.optimizer]
    return cls(learning_rate=rate, global_clipnorm=values.clip_norm or None)


def make_predict(
    network: keras.Model, values: Hyperparameters, kernel: str
) -> Callable[[NDArray[np.int32]], NDArray[np.float32]]:
    """A function from token ids <int32>[batch, length] to logits <float32>[batch]: above 0 for positive.

    Args:
        kernel: As of `forward`.
    """
    features = keras.Model(network.inputs, network.get_layer("probability").input)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def logits(tokens: tf.Tensor) -> tf.Tensor:
        if kernel == "xla":
            return _logits(network, _hidden(network, values, _with_our_loops(network, values, tokens, None)))
        return _logits(network, features(as_input(values, tokens), training=False))

    return lambda tokens: logits(tokens).numpy()
