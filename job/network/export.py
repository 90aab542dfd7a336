"""The SavedModel: a text in, a probability out, with tokenizer and vocabulary inside. Needs TensorFlow alone, and no GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.analysis.scores import is_positive
from job.data.tokens import APOSTROPHES, FIRST_WORD_ID, SEPARATORS
from job.errors import JobError
from job.network.build import as_input
from job.network.forward import Forward
from job.output.results import LinearWeights
from job.presets import HALF, PAD, START, UNKNOWN, Hyperparameters

_TOLERANCE = 1e-5
_SECONDS = 600
# Loads each model as a server would, in a process that knows nothing of this package, and asks it for the texts.
_ASK = """
import json, sys
# Keras, which TensorFlow imports, would import these where they are installed: a second for nothing.
sys.modules.update(matplotlib=None, sklearn=None)
import tensorflow as tf
asked = json.load(sys.stdin)
answers = []
for folder in asked["folders"]:
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    found = [serve(text=tf.constant([text])) for text in asked["texts"]]
    answers.append([[float(each["probability"][0]), each["label"].numpy()[0].decode()] for each in found])
print(json.dumps(answers))
"""


class _Tokenizer(tf.Module):
    """That of job/data/tokens.py, in TensorFlow's own operations.

    Args:
        words: The vocabulary by rank.
    """

    def __init__(self, words: list[str], vocabulary_size: int) -> None:
        super().__init__()
        known = words[: vocabulary_size - FIRST_WORD_ID]
        ids = tf.range(FIRST_WORD_ID, FIRST_WORD_ID + len(known))
        entries = tf.lookup.KeyValueTensorInitializer(tf.constant(known, tf.string), ids)
        self._ids = tf.lookup.StaticHashTable(entries, UNKNOWN)

    def ids(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Token ids <int32>[batch, words], without a start token, of <string>[batch]."""
        # Without an encoding, TensorFlow lowers ASCII letters and no others: as Keras's IMDB data are made.
        plain = tf.strings.regex_replace(tf.strings.lower(text), _any_of(APOSTROPHES), "'")
        spaced = tf.strings.regex_replace(plain, _any_of(SEPARATORS), " ")
        words = tf.strings.split(spaced, sep=" ")
        words = tf.ragged.boolean_mask(words, words != "")
        return words.with_flat_values(self._ids.lookup(words.flat_values))


def _any_of(characters: str) -> str:
    """A regular expression (RE2's) for one of these."""
    return "[" + "".join(f"\\x{{{ord(character):x}}}" for character in characters) + "]"


class TextModel(tf.Module):
    """A network behind the tokenizer.

    Args:
        words: The vocabulary by rank.
        threshold: Above it a probability is labelled positive.
    """

    def __init__(self, network: keras.Model, values: Hyperparameters, words: list[str], threshold: float = HALF) -> None:
        super().__init__()
        self._network, self._values, self._threshold = network, values, threshold
        self._tokenizer = _Tokenizer(words, values.vocabulary_size)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """From <string>[batch], UTF-8, to `probability` <float32>[batch] of being positive, and `label` <string>[batch]."""
        inputs = as_input(self._values, self.encode(text))
        return _labelled(self._network(inputs, training=False)[:, 0], self._threshold)

    def encode(self, text: tf.Tensor) -> tf.Tensor:
        """Token ids <int32>[batch, length] of <string>[batch], padded at the end."""
        values = self._values
        ids = self._tokenizer.ids(text)
        ids = tf.concat([tf.fill([ids.nrows(), 1], START), ids], axis=1)
        # A review's last tokens are read.
        ids = ids[:, -values.max_tokens :]
        length = None if values.embedding_size else values.max_tokens
        return ids.to_tensor(PAD, shape=[None, length])


class LinearTextModel(tf.Module):
    """The baseline behind the tokenizer: `ngrams.occurrences` and its weights.

    Args:
        words: The vocabulary by rank.
        threshold: As in `TextModel`.
    """

    def __init__(self, weights: LinearWeights, words: list[str], threshold: float = HALF) -> None:
        super().__init__()
        self._threshold = threshold
        self._size = int(weights.vocabulary_size[0])
        self._tokenizer = _Tokenizer(words, self._size)
        # An id or a pair that has no weight finds the zero behind the last one.
        self._words = tf.Variable(np.append(weights.words, np.float32(0)), trainable=False)
        self._pairs = tf.Variable(np.append(weights.bigrams, np.iinfo(np.int64).max), trainable=False)
        self._pair_weights = tf.Variable(np.append(weights.bigram_weights, np.float32(0)), trainable=False)
        self._bias = float(weights.bias[0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """From <string>[batch], UTF-8, to `probability` <float32>[batch] of being positive, and `label` <string>[batch]."""
        tokens = self._tokenizer.ids(text)
        ids, owners = tf.cast(tokens.flat_values, tf.int64), tokens.value_rowids()
        is_word = ids >= FIRST_WORD_ID
        together = is_word[:-1] & is_word[1:] & (owners[:-1] == owners[1:])
        pairs = tf.boolean_mask(ids[:-1] * self._size + ids[1:], together)
        places = tf.searchsorted(self._pairs, pairs, out_type=tf.int64)
        known = tf.gather(self._pairs, places) == pairs
        last = tf.size(self._pair_weights, tf.int64) - 1
        of_words = _presence_sums(
            tf.minimum(tf.where(is_word, ids, tf.size(self._words, tf.int64)), tf.size(self._words, tf.int64) - 1),
            owners,
            self._words,
            tokens.nrows(),
        )
        of_pairs = _presence_sums(
            tf.where(known, places, last), tf.boolean_mask(owners[1:], together), self._pair_weights, tokens.nrows()
        )
        return _labelled(tf.sigmoid(of_words + of_pairs + self._bias), self._threshold)


def _labelled(probability: tf.Tensor, threshold: float) -> dict[str, tf.Tensor]:
    """The outputs of a model, for probabilities <float32>[batch]."""
    return {"probability": probability, "label": tf.where(probability > np.float32(threshold), "positive", "negative")}


def _presence_sums(features: tf.Tensor, owners: tf.Tensor, weights: tf.Variable, reviews: tf.Tensor) -> tf.Tensor:
    """For each review the sum of the weights of the features that it has, each counted once: <float32>[reviews]."""
    count = tf.size(weights, tf.int64)
    cells, _ = tf.unique(owners * count + features)
    return tf.math.unsorted_segment_sum(tf.gather(weights, cells % count), cells // count, reviews)


def save(forward: Forward, words: list[str], threshold: float, folder: Path) -> None:
    """Writes a SavedModel, with `serving_default` as its signature, to a folder.

    Args:
        words: The vocabulary by rank.
    """
    _save(TextModel(forward.network, forward.values, words, threshold), folder)


def save_linear(weights: LinearWeights, words: list[str], threshold: float, folder: Path) -> None:
    """The same of the baseline."""
    _save(LinearTextModel(weights, words, threshold), folder)


def _save(model: TextModel | LinearTextModel, folder: Path) -> None:
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})


def verify(folders: list[Path], texts: list[str], expected: list[NDArray[np.float32]], thresholds: list[float]) -> float:
    """Loads SavedModels in a fresh process without a GPU; the largest difference from the trained networks' probabilities.

    Args:
        expected: For each folder the probabilities <float32>[texts] that the trained network gave.
        thresholds: For each folder, above which probability a text is labelled positive.

    Raises:
        JobError: A model cannot be loaded there or computes something else, which is a defect.
    """
    asked = json.dumps({"folders": [str(folder.resolve()) for folder in folders], "texts": texts})
    # Not this package's folder, which could be found where Python was started.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        input=asked,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        cwd=folders[0],
        env=environment | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    try:
        answers: list[Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = " ".join((done.stderr.strip().splitlines() or ["no message"])[-1].split())[:300]
        raise JobError(f"{folders[0]}: the exported model cannot be loaded in a fresh process ({last})") from None
    worst = 0.0
    for folder, answered, wanted, threshold in zip(folders, answers, expected, thresholds, strict=True):
        got = np.array([probability for probability, _ in answered])
        difference = float(np.max(np.abs(got - wanted)))
        if not difference <= _TOLERANCE:
            raise JobError(
                f"{folder}: the exported model differs from the trained one by {difference:.2g}; at most {_TOLERANCE} is rounding"
            )
        said = np.array([label == "positive" for _, label in answered])
        if not np.array_equal(said, is_positive(got, threshold)):
            raise JobError(f"{folder}: the exported model does not label by its threshold of {threshold:g}")
        worst = max(worst, difference)
    return worst
