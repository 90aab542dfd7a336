"""The two networks, in stock Keras layers: embedding, recurrent layer, pooling, one logit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.network import cudnn
from job.network import loops as kernels
from job.presets import PAD, START, UNKNOWN, Architecture, Hyperparameters

# Far below any tanh output, so that padding never is the maximum.
_BELOW = -2.0


def build(architecture: Architecture, values: Hyperparameters, seed: int, bigrams: NDArray[np.int64]) -> keras.Model:
    """Builds a network that maps a batch of reviews to probabilities <float32>[batch, 1] of being positive.

    Its input is <int32>[batch, length] token ids, padded at the end with 0; with `embedding_size` 0 it is
    <float32>[batch, 1, max_tokens], each review one time step of raw ids, as in the tutorial.
    The weights are drawn from `seed`.

    Args:
        bigrams: <int64>[bigrams], sorted, the ones with an embedding (see job/data/ngrams.py).
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
    if len(bigrams):
        wide = keras.ops.cast(tokens, "int64")
        before = keras.ops.pad(wide, [[0, 0], [1, 0]])[:, :-1]
        lookup = keras.layers.IntegerLookup(vocabulary=bigrams, name="bigram_number")
        table = keras.layers.Embedding(len(bigrams) + 1, values.bigram_size, name="bigram_embedding")
        pairs = table(lookup(before * values.vocabulary_size + wide))
        embedded = keras.layers.Concatenate(name="word_and_bigram")([embedded, pairs])
    outputs = _after_embedding(tokens, embedded, layer, values)
    return keras.Model(tokens, outputs)


def load(path: Path) -> keras.Model:
    """The network in a model.keras."""
    return keras.saving.load_model(path)


def add_to_embeddings(network: keras.Model, words: NDArray[np.float32], bigrams: NDArray[np.float32]) -> None:
    """Adds to the first number of each word's embedding, <float32>[vocabulary], and of each bigram's, <float32>[bigrams]."""
    for name, values in (("embedding", words), ("bigram_embedding", np.append(np.float32(0.0), bigrams))):
        if len(values) > 1:
            table = network.get_layer(name).embeddings
            start = table.numpy()
            start[:, 0] += values
            table.assign(start)


def _recurrent(architecture: Architecture, values: Hyperparameters) -> keras.layers.Layer:
    cls = {Architecture.rnn: keras.layers.SimpleRNN, Architecture.lstm: keras.layers.LSTM}[architecture]
    # Without an embedding this is the tutorial's layer, left as Keras makes it.
    extra: dict[str, Any] = {}
    if values.embedding_size:
        extra = {
            "recurrent_initializer": {
                "orthogonal": keras.initializers.Orthogonal(gain=values.recurrent_gain),
                "glorot_uniform": keras.initializers.GlorotUniform(),
                "identity": keras.initializers.Identity(gain=values.recurrent_gain),
            }[values.recurrent_start],
            "return_sequences": values.pooling == "max_mean",
        }
        if architecture is Architecture.lstm:
            # cuDNN is called by ourselves (job/network/cudnn.py); what Keras exports where a GPU is visible would need one.
            extra["use_cudnn"] = False
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
        kernel: What runs the recurrence: `xla` our own loops (job/network/loops.py), `cudnn` cuDNN's (job/network/cudnn.py), `while_loop` Keras's layer.
        tokens: <int32>[batch, length]
        draw: <int32>[2], from which alone the dropout is drawn.
    """
    if not values.embedding_size:
        return _logits(network, _before_logits(network, as_input(values, tokens), training=True))
    if values.word_dropout:
        dropped = tf.random.stateless_uniform(tf.shape(tokens), draw) < values.word_dropout
        tokens = tf.where(dropped & (tokens > START), UNKNOWN, tokens)
    tables = _looked_up(network, values, tokens, draw)
    pooled = _pooled(network, values, kernel, tokens, tables, training=True)
    return _logits(network, _dropped(_hidden(network, values, pooled), values.pooled_dropout, draw, 1))


def _before_logits(network: keras.Model, outputs: tf.Tensor, training: bool) -> tf.Tensor:
    for layer in network.layers[:-1]:
        outputs = layer(outputs, training=training)
    return outputs


def _dropped(array: tf.Tensor, rate: float, draw: tf.Tensor | None, kind: int) -> tf.Tensor:
    """Dropout from the `kind`-th of the eight numbers that a step has for them; without a draw there is none."""
    if not rate or draw is None:
        return array
    kept = tf.random.stateless_uniform(tf.shape(array), draw + tf.constant([0, kind])) >= rate
    return array * tf.cast(kept, tf.float32) / (1.0 - rate)


_Tables = list[tuple[tf.Tensor, tf.Tensor]]


def _looked_up(network: keras.Model, values: Hyperparameters, tokens: tf.Tensor, draw: tf.Tensor | None) -> _Tables:
    """What stands in the embeddings for a batch <int32>[batch, length]; of the words, and of the bigrams if there are any.

    A batch holds far fewer words than tokens: each is looked up, and can be projected, once.

    Returns:
        For each embedding its distinct rows <float32>[rows, size], that of padding (or no bigram) first, and which of
        them stands where, <int32>[batch, length].
    """

    def distinct(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found, places = tf.unique(tf.concat([[0], tf.reshape(numbers, [-1])], 0))
        return found, tf.reshape(places[1:], tf.shape(numbers))

    words, places = distinct(tokens)
    rows = tf.gather(network.get_layer("embedding").embeddings.value, words)
    result = [(_dropped(rows, values.embedding_dropout, draw, 2), places)]
    if not _has_bigrams(network):
        return result
    with tf.init_scope():
        vocabulary = network.get_layer("bigram_number").get_vocabulary(include_special_tokens=False)
    sorted_bigrams = np.array(vocabulary, np.int64)
    wide = tf.cast(tokens, tf.int64)
    keys = tf.pad(wide, [[0, 0], [1, 0]])[:, :-1] * values.vocabulary_size + wide
    number = tf.searchsorted(sorted_bigrams, tf.reshape(keys, [-1]))
    found = tf.gather(sorted_bigrams, tf.minimum(number, len(sorted_bigrams) - 1)) == tf.reshape(keys, [-1])
    numbers, places = distinct(tf.reshape(tf.where(found, number + 1, 0), tf.shape(tokens)))
    rows = tf.gather(network.get_layer("bigram_embedding").embeddings.value, numbers)
    rows = _dropped(rows, values.embedding_dropout, draw, 3)
    rows *= _dropped(tf.ones([tf.shape(rows)[0], 1]), values.bigram_dropout, draw, 4)
    return [*result, (rows, places)]


def _has_bigrams(network: keras.Model) -> bool:
    return any(layer.name == "bigram_embedding" for layer in network.layers)


def _hidden(network: keras.Model, values: Hyperparameters, pooled: tf.Tensor) -> tf.Tensor:
    return network.get_layer("hidden")(pooled) if values.hidden_units else pooled


def _recurrent_layer(network: keras.Model) -> keras.layers.Layer:
    return next(each for each in network.layers if isinstance(each, (keras.layers.RNN, keras.layers.Bidirectional)))


def _pooled(
    network: keras.Model, values: Hyperparameters, kernel: str, tokens: tf.Tensor, tables: _Tables, training: bool
) -> Any:
    """What the head reads of the recurrent layer's states, <float32>[batch, features]."""
    if kernel == "xla":
        return _with_our_loops(network, values, tokens, tables)
    embedded = tf.concat([tf.gather(rows, places) for rows, places in tables], axis=-1)
    mask = tf.not_equal(tokens, PAD)
    weight = tf.cast(tf.transpose(mask), tf.float32)[:, :, None]
    if kernel == "cudnn":
        architecture, cells = _cells(network, values)
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        states = cudnn.recur(architecture, values.activation, tf.transpose(embedded, [1, 0, 2]), cells, lengths, training)
        return _read(values, states, weight)
    outputs = _recurrent_layer(network)(embedded, mask=mask, training=training)
    if values.pooling == "last":
        return outputs
    return _read(values, [tf.transpose(outputs, [1, 0, 2]) * weight], weight)


def _cells(network: keras.Model, values: Hyperparameters) -> tuple[Architecture, list[cudnn.Cell]]:
    layer = _recurrent_layer(network)
    cells = [layer.forward_layer.cell, layer.backward_layer.cell] if values.bidirectional else [layer.cell]
    architecture = Architecture.lstm if isinstance(cells[0], keras.layers.LSTMCell) else Architecture.rnn
    weights = [[tf.convert_to_tensor(each) for each in (cell.kernel, cell.recurrent_kernel, cell.bias)] for cell in cells]
    return architecture, [(kernel, recurrent, bias) for kernel, recurrent, bias in weights]


def _with_our_loops(network: keras.Model, values: Hyperparameters, tokens: tf.Tensor, tables: _Tables) -> tf.Tensor:
    """Time first, in buffers of few sizes; rows that are only there to fill them are cut off at the end."""
    architecture, cells = _cells(network, values)
    count, length = tf.unstack(tf.shape(tokens))
    time, batch = kernels.buffer_length(length, values.max_tokens), tf.maximum(count, values.batch_size)

    def filled(array: tf.Tensor) -> tf.Tensor:
        return tf.transpose(tf.pad(array, [[0, batch - count], [0, time - length]]))

    mask = tf.cast(filled(tokens) != PAD, tf.float32)[:, :, None]
    tables = [(rows, filled(places)) for rows, places in tables]
    pooled, results = values.pooling == "max_mean", []
    for (kernel, recurrent, projected), backward in zip(cells, (False, True), strict=False):
        first = 0
        for rows, places in tables:
            size = rows.shape[1]
            projected += tf.gather(tf.matmul(rows, kernel[first : first + size]), places)
            first += size
        results.append(kernels.recur(architecture, values.activation, pooled, projected, recurrent, mask, length, backward))
    if pooled:
        highest, totals = zip(*results, strict=True)
        return tf.concat([*highest, *kernels.means(totals, mask)], axis=1)[:count]
    return _read(values, [states for (states,) in results], mask)[:count]


def _read(values: Hyperparameters, states: list[tf.Tensor], mask: tf.Tensor) -> tf.Tensor:
    """From each direction's states <float32>[time, batch, units] to the features <float32>[batch, features]."""
    if values.pooling == "max_mean":
        return kernels.pool(states, mask)
    last = tf.cast(tf.reduce_sum(mask, axis=[0, 2]), tf.int32) - 1
    # A row that only fills a buffer has no last token; any one does.
    at = tf.stack([tf.maximum(last, 0), tf.range(tf.size(last))], axis=1)
    return tf.concat([tf.gather_nd(states[0], at), *(each[0] for each in states[1:])], axis=-1)


def make_token_gradients(
    network: keras.Model, values: Hyperparameters, kernel: str
) -> Callable[[NDArray[np.int32]], NDArray[np.float32]]:
    """A function from token ids <int32>[batch, length] to how much each one moves its review's logit, <float32>[batch, length].

    It is the norm of the logit's gradient by the token's embedding; 0 for padding.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def norms(tokens: tf.Tensor) -> tf.Tensor:
        # Each token has a row of its own, so that it has a gradient of its own; the first one is padding's.
        words = tf.concat([[PAD], tf.reshape(tokens, [-1])], 0)
        rows = tf.gather(network.get_layer("embedding").embeddings.value, words)
        places = tf.reshape(tf.range(1, tf.size(words)), tf.shape(tokens))
        with tf.GradientTape() as tape:
            tape.watch(rows)
            pooled = _pooled(network, values, kernel, tokens, [(rows, places)], training=True)
            total = tf.reduce_sum(_logits(network, _hidden(network, values, pooled)))
        gradient = tf.convert_to_tensor(tape.gradient(total, rows))[1:]
        return tf.reshape(tf.norm(gradient, axis=1), tf.shape(tokens)) * tf.cast(tokens != PAD, tf.float32)

    return lambda tokens: norms(tokens).numpy()


def _logits(network: keras.Model, features: tf.Tensor) -> tf.Tensor:
    """What the last layer computes, without its sigmoid: a probability rounds to 0 or 1, a logit keeps how sure it is."""
    layer = network.get_layer("probability")
    return tf.matmul(features, tf.convert_to_tensor(layer.kernel))[:, 0] + layer.bias[0]


def as_input(values: Hyperparameters, tokens: tf.Tensor) -> tf.Tensor:
    """What the network takes for a batch of token ids <int32>[batch, length]."""
    return tokens if values.embedding_size else tf.cast(tokens, tf.float32)[:, None, :]


def make_predict(
    network: keras.Model, values: Hyperparameters, kernel: str
) -> Callable[[NDArray[np.int32]], NDArray[np.float32]]:
    """A function from token ids <int32>[batch, length] to logits <float32>[batch]: above 0 for positive.

    Args:
        kernel: As of `forward`.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def logits(tokens: tf.Tensor) -> tf.Tensor:
        if not values.embedding_size:
            return _logits(network, _before_logits(network, as_input(values, tokens), training=False))
        tables = _looked_up(network, values, tokens, None)
        return _logits(network, _hidden(network, values, _pooled(network, values, kernel, tokens, tables, training=False)))

    return lambda tokens: logits(tokens).numpy()
