"""The two networks, in stock Keras layers: embedding, recurrent layer, pooling, one logit."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.data import ngrams
from job.data.reviews import Reviews
from job.data.tokens import FIRST_WORD_ID
from job.errors import ConfigurationError
from job.presets import PAD, Architecture, Hyperparameters

# Far below any tanh output, so that padding never is the maximum.
_BELOW = -2.0


def build(
    architecture: Architecture,
    values: Hyperparameters,
    seed: int,
    bigrams: NDArray[np.int64],
    words: int | None = None,
) -> keras.Model:
    """Builds a network that maps a batch of reviews to probabilities <float32>[batch, 1] of being positive.

    Its input is <int32>[batch, length] token ids, padded at the end with 0; with `embedding_size` 0 it is
    <float32>[batch, 1, max_tokens], each review one time step of raw ids, as in the tutorial.
    The weights are drawn from `seed`.

    Args:
        bigrams: <int64>[bigrams], sorted, the ones with an embedding (see job/data/ngrams.py).
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
    rows = values.vocabulary_size if words is None else min(values.vocabulary_size, FIRST_WORD_ID + words)
    embedded = keras.layers.Embedding(rows, values.embedding_size, name="embedding")(tokens)
    if len(bigrams):
        wide = keras.ops.cast(tokens, "int64")
        before = keras.ops.pad(wide, [[0, 0], [1, 0]])[:, :-1]
        lookup = keras.layers.IntegerLookup(vocabulary=bigrams, name="bigram_number")
        table = keras.layers.Embedding(len(bigrams) + 1, values.bigram_size, name="bigram_embedding")
        pairs = table(lookup(before * values.vocabulary_size + wide))
        embedded = keras.layers.Concatenate(name="word_and_bigram")([embedded, pairs])
    outputs = _after_embedding(tokens, embedded, layer, values)
    return keras.Model(tokens, outputs)


def build_for(architecture: Architecture, values: Hyperparameters, seed: int, train: Reviews) -> keras.Model:
    """The network for the bigrams of the training reviews, with the embeddings' start that `ratio_scale` asks for."""
    size = values.vocabulary_size
    pairs = ngrams.frequent_bigrams(train, values.bigrams)
    network = build(architecture, values, seed, pairs, len(train.corpus.words))
    if values.ratio_scale:
        ratios = values.ratio_scale * ngrams.log_count_ratios(train, pairs)
        add_to_embeddings(network, ratios[: network.get_layer("embedding").input_dim], ratios[size:])
    return network


def set_weights(network: keras.Model, weights: list[NDArray[Any]]) -> None:
    """Gives a network weights that were kept.

    Raises:
        ConfigurationError: They are of a network of another size.
    """
    if [array.shape for array in weights] != [variable.shape for variable in network.weights]:
        raise ConfigurationError(
            "the unfinished run is of an earlier version, which gave embeddings to more words than there are; "
            "pass --fresh to discard it, or choose another --output"
        )
    network.set_weights(weights)


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
