"""A network with its tables: as the package looks them up, as stock Keras does, and as the SavedModel does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from job.analysis import scores
from job.data import batches
from job.data.evidence import Tables
from job.data.tokens import Vocabulary
from job.presets import Architecture
from tests.data.samples import tables

tf = pytest.importorskip("tensorflow")

from job.machine import runtime
from job.network import export
from job.network.build import with_tables
from job.network.forward import Forward
from job.network.predictor import NetworkPredictor
from tests.network import test_forward

# As the job does, before the first operation.
runtime.prepare_tensorflow()

SIZE, LONGEST = 9, 7
PAIRS = [first * SIZE + second for first in (4, 5, 8) for second in (4, 6, 8)]
TRIPLES = [pair * SIZE + third for pair in (4 * SIZE + 4, 5 * SIZE + 6, 6 * SIZE + 7) for third in (4, 5, 8)]


def predictor(architecture: Architecture, known: Tables, **changes: Any) -> NetworkPredictor:
    values = test_forward.tiny(architecture, max_tokens=LONGEST, batch_size=4, **changes)
    network = test_forward.build(architecture, values)
    test_forward.spread(network)
    return NetworkPredictor(architecture, Forward(network, values, "while_loop"), Vocabulary([]), tables=known)


def some_reviews(seed: int, count: int = 12) -> list[Any]:
    """Token ids, some of them of no word that is known; the first review is empty, the second one word long."""
    random = np.random.default_rng(seed)
    lengths = [0, 1, *random.integers(0, 2 * LONGEST, count - 2).tolist()]
    words = [random.choice([2, 4, 4, 5, 6, 7, 8, 11], length) for length in lengths]
    return [np.array([1, *each], np.int32) for each in words]


def by_keras(asked: NetworkPredictor, reviews: list[Any]) -> Any:
    assert asked.tables is not None
    model = with_tables(asked.forward.network, asked.forward.values, asked.tables)
    read = [np.where(review < SIZE, review, 2)[-LONGEST:] for review in reviews]
    return model(batches.padded(read))[:, 0].numpy()


def by_tensorflow(asked: NetworkPredictor, reviews: list[Any]) -> Any:
    member = export.NetworkMember(asked.forward.network, asked.forward.values, asked.tables)
    return tf.sigmoid(member.logits(tf.ragged.constant([review[1:].tolist() for review in reviews], tf.int32))).numpy()


@pytest.mark.parametrize(
    ("bigrams", "trigrams"), [(PAIRS, TRIPLES), (PAIRS, []), ([], []), ([], TRIPLES)], ids=["both", "pairs", "words", "triples"]
)
@pytest.mark.parametrize(("architecture", "kinds"), [(Architecture.rnn, 6), (Architecture.lstm, 3)])
def test_all_three_say_the_same_of_any_review(
    architecture: Architecture, kinds: int, bigrams: list[int], trigrams: list[int]
) -> None:
    asked = predictor(architecture, tables(SIZE, bigrams, trigrams), evidence=kinds, linear_path=0.5)
    for seed in range(4):
        reviews = some_reviews(seed)
        expected = asked.of_tokens(reviews)
        np.testing.assert_allclose(by_keras(asked, reviews), expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(by_tensorflow(asked, reviews), expected, rtol=0, atol=1e-6)
    for nothing in ([np.array([1], np.int32)], [np.array([1], np.int32)] * 5):
        for answer in (by_keras(asked, nothing), by_tensorflow(asked, nothing)):
            np.testing.assert_allclose(answer, asked.of_tokens(nothing), rtol=0, atol=1e-6)


def test_what_they_say_depends_on_every_table() -> None:
    known, reviews = tables(SIZE, PAIRS, TRIPLES), [np.array([1, 4, 4, 5, 6, 8], np.int32)]
    whole = predictor(Architecture.rnn, known, evidence=6, linear_path=0.5).of_tokens(reviews)
    first = SIZE
    for count in (SIZE, len(PAIRS), len(TRIPLES)):
        for column in (0, 1):
            values = known.values.copy()
            values[first - SIZE : first - SIZE + count, column] = 0
            changed = predictor(Architecture.rnn, replace(known, values=values), evidence=6, linear_path=0.5)
            assert abs(changed.of_tokens(reviews) - whole).max() > 1e-4
            np.testing.assert_allclose(by_keras(changed, reviews), changed.of_tokens(reviews), rtol=0, atol=1e-6)
        first += count


def test_the_linear_model_s_logit_counts_each_n_gram_once() -> None:
    """The path alone: what the network itself says is nothing."""
    values = np.zeros((SIZE + 3, 2), np.float16)
    values[[4, 5, SIZE, SIZE + 1], 1] = [1, 2, 4, -8]
    known = replace(tables(SIZE, [4 * SIZE + 5], [(4 * SIZE + 5) * SIZE + 4]), values=values, scales=np.array([1, 1, 1, 1, 2, 0.5], np.float32))  # fmt: skip
    asked = predictor(Architecture.lstm, known, evidence=3, linear_path=1.0)
    weights = asked.forward.network.get_weights()
    asked.forward.network.set_weights([*(np.zeros_like(each) for each in weights[:-1]), np.ones((1, 1), np.float32)])
    reviews = [np.array([1, *words], np.int32) for words in ([], [4], [4, 5], [4, 5, 4, 5, 4], [5, 4])]
    expected = scores.probabilities(np.array([0, 1, 1 + 2 + 8, 1 + 2 + 8 - 4, 3], np.float32) + np.float32(0.25))
    for answer in (asked.of_tokens(reviews), by_keras(asked, reviews), by_tensorflow(asked, reviews)):
        np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-6)
