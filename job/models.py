"""The two networks, in stock Keras layers: embedding, recurrent layer, pooling, one logit."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

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


def forward(network: keras.Model, values: Hyperparameters, tokens: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """The logits <float32>[batch] in training: as the network computes them, with both kinds of dropout.

    Args:
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
    embedded = network.get_layer("embedding")(tokens)
    if values.spatial_dropout:
        keep = 1.0 - values.spatial_dropout
        channels = tf.random.stateless_uniform([tf.shape(tokens)[0], 1, values.embedding_size], draw + 1) < keep
        embedded *= tf.cast(channels, tf.float32) / keep
    layer = next(each for each in network.layers if isinstance(each, (keras.layers.RNN, keras.layers.Bidirectional)))
    mask = tf.not_equal(tokens, PAD)
    outputs = layer(embedded, mask=mask, training=True)
    if values.pooling == "max_mean":
        weight = tf.cast(mask, tf.float32)[:, :, None]
        mean = tf.reduce_sum(outputs * weight, axis=1) / tf.reduce_sum(weight, axis=1)
        highest = tf.reduce_max(outputs * weight + _BELOW * (1.0 - weight), axis=1)
        outputs = tf.concat([highest, mean], axis=-1)
    if values.hidden_units:
        outputs = network.get_layer("hidden")(outputs)
    return _logits(network, outputs)


def _logits(network: keras.Model, features: tf.Tensor) -> tf.Tensor:
    """What the last layer computes, without its sigmoid: a probability rounds to 0 or 1, a logit keeps how sure it is."""
    layer = network.get_layer("probability")
    return tf.matmul(features, tf.convert_to_tensor(layer.kernel))[:, 0] + layer.bias[0]


def as_input(values: Hyperparameters, tokens: tf.Tensor) -> tf.Tensor:
    """What the network takes for a batch of token ids <int32>[batch, length]."""
    return tokens if values.embedding_size else tf.cast(tokens, tf.float32)[:, None, :]


def optimizer(values: Hyperparameters, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer, its schedule laid out over `steps`, the most that training can take."""
    rate: Any = values.learning_rate
    if values.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(values.learning_rate, steps)
    cls = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}[values.optimizer]
    return cls(learning_rate=rate, global_clipnorm=values.clip_norm or None)


def make_predict(network: keras.Model, values: Hyperparameters) -> Callable[[NDArray[np.int32]], NDArray[np.float32]]:
    """A function from token ids <int32>[batch, length] to logits <float32>[batch]: above 0 for positive."""
    features = keras.Model(network.inputs, network.get_layer("probability").input)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def logits(tokens: tf.Tensor) -> tf.Tensor:
        return _logits(network, features(as_input(values, tokens), training=False))

    return lambda tokens: logits(tokens).numpy()
