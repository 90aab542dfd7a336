"""The two networks, in stock Keras layers: embedding, recurrent layer, pooling, one logit."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.data.evidence import Tables
from job.data.tokens import FIRST_WORD_ID
from job.errors import ConfigurationError, DataError
from job.presets import PAD, UNKNOWN, Architecture, Hyperparameters

NETWORK = "network"
"""What the network is called behind its tables."""
# Far below any tanh output, so that padding never is the maximum.
_BELOW = -2.0


def build(architecture: Architecture, values: Hyperparameters, seed: int, words: int | None = None) -> keras.Model:
    """Builds a network that maps a batch of reviews to probabilities <float32>[batch, 1] of being positive.

    Its input is <int32>[batch, length] token ids, padded at the end with 0; with `embedding_size` 0 it is
    <float32>[batch, 1, max_tokens], each review one time step of raw ids, as in the tutorial. With evidence it is a list:
    the ids, the evidence's numbers <float32>[batch, length, kinds], and the linear model's logits <float32>[batch, 1].
    The weights are drawn from `seed`.

    Args:
        words: How many there are in the vocabulary, where that is known: no more of them get an embedding. The others, and
            what is trained, are the same as in a larger table, which is drawn row by row.
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
    rows = embedding_rows(values, words)
    embedded = keras.layers.Embedding(rows, values.embedding_size, name="embedding")
    if not values.evidence:
        return keras.Model(tokens, _after_embedding(tokens, embedded(tokens), layer, values))
    numbers = keras.Input((None, values.evidence), name="numbers")
    linear = keras.Input((1,), name="linear")
    own = keras.ops.where(tokens < rows, tokens, UNKNOWN)
    both = keras.layers.Concatenate(name="word_and_numbers")([embedded(own), numbers])
    logit = _after_embedding(tokens, both, layer, values, "linear")
    if values.linear_path:
        start = keras.initializers.Constant(values.linear_path)
        path = keras.layers.Dense(1, use_bias=False, kernel_initializer=start, name="linear_path")
        logit = logit + path(linear)
    probability = keras.layers.Activation("sigmoid", name="sigmoid")(logit)
    return keras.Model([tokens, numbers, linear], probability, name=NETWORK)


def embedding_rows(values: Hyperparameters, words: int | None) -> int:
    """Token ids that have an embedding of their own; `words` as in `build`."""
    rows = min(values.vocabulary_size, values.embedded_ids or values.vocabulary_size)
    return rows if words is None else min(rows, FIRST_WORD_ID + words)


def with_tables(network: keras.Model, values: Hyperparameters, tables: Tables) -> keras.Model:
    """A network with evidence, behind the tables where it is looked up: from token ids <int32>[batch, length] alone."""
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    known, found = tables.ngrams, tables.values.astype(np.float32)
    size, first = known.vocabulary_size, known.vocabulary_size
    wide = keras.ops.cast(tokens, "int64")
    before = [keras.ops.pad(wide, [[0, 0], [back, 0]])[:, :-back] for back in (1, 2)]
    keys = [wide, before[0] * size + wide, (before[1] * size + before[0]) * size + wide]
    names = ("word", "bigram", "trigram")
    sums, columns = [], []
    for order, (name, key) in enumerate(zip(names, keys, strict=True)):
        if order == 0:
            places, rows = key, found[:size]
        else:
            vocabulary = (known.bigrams, known.trigrams)[order - 1]
            # 0 is what is not among them; -2, which is no n-gram, is there as Keras wants one at least.
            places = keras.layers.IntegerLookup(vocabulary=np.append(-2, vocabulary), name=f"{name}_number")(key)
            rows = np.concatenate([np.zeros((2, 2), np.float32), found[first : first + len(vocabulary)]])
            first += len(vocabulary)
        start = keras.initializers.Constant(0.0)
        table = keras.layers.Embedding(len(rows), 2, start, trainable=False, name=f"{name}_evidence")
        columns.append(table(places))
        table.set_weights([rows])
        # Each n-gram counts once a review.
        in_order = keras.ops.sort(places, axis=1)
        is_first = in_order != keras.ops.pad(in_order, [[0, 0], [1, 0]], constant_values=-1)[:, :-1]
        weights = table(in_order)[:, :, 1] * keras.ops.cast(is_first, "float32")
        sums.append(keras.ops.sum(weights, axis=1, keepdims=True) * float(tables.scales[3 + order]))
    numbers = [column[:, :, kind : kind + 1] for kind in (0, 1) for column in columns]
    numbers = keras.layers.Concatenate(name="numbers")(numbers[: values.evidence])
    linear = sums[0] + sums[1] + sums[2] + float(tables.bias)
    return keras.Model(tokens, network([tokens, numbers, linear]))


def set_weights(network: keras.Model, weights: list[NDArray[Any]]) -> None:
    """Gives a network weights that were kept.

    Raises:
        ConfigurationError: They are of a network of another size.
    """
    if [array.shape for array in weights] != [variable.shape for variable in network.weights]:
        raise ConfigurationError(
            "its weights are not of this network, as an earlier version gave embeddings to more words than there are; "
            "pass --fresh to discard it, or choose another --output"
        )
    network.set_weights(weights)


def load(
    path: Path, architecture: Architecture, values: Hyperparameters, words: int, tables: Tables | None = None
) -> keras.Model:
    """The network in a model.keras, without the tables that stand before it.

    Its weights alone are taken from the file. The layers are made here and not as the file says, as whoever made it decides
    what Keras would call for them.

    Args:
        words: How many there are in the vocabulary.
        tables: Those that stand before it, where it reads evidence.

    Raises:
        DataError: The weights are of another network.
    """
    # Those of earlier versions have embeddings for more words than there are.
    for known in (words, None):
        network = build(architecture, values, 0, known)
        whole = network if tables is None else with_tables(network, values, tables)
        # Where a file holds nothing for a layer, Keras warns and leaves the layer as it was made.
        with warnings.catch_warnings(), contextlib.suppress(ValueError, LookupError, UserWarning):
            warnings.simplefilter("error", UserWarning)
            whole.load_weights(path)
            return network
    raise DataError(
        f"{path}: its weights are not those of a network with the settings in run.json; if it is of an earlier version, use that, or the SavedModel beside it"
    )


def as_input(values: Hyperparameters, tokens: tf.Tensor) -> tf.Tensor:
    """What the network takes for a batch of token ids <int32>[batch, length]."""
    return tokens if values.embedding_size else tf.cast(tokens, tf.float32)[:, None, :]


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


def _after_embedding(
    tokens: Any, embedded: Any, layer: keras.layers.Layer, values: Hyperparameters, activation: str = "sigmoid"
) -> Any:
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
    return keras.layers.Dense(1, activation=activation, name="probability")(outputs)
