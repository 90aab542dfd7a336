"""The networks' embeddings are as large as there are words for them, and what is read back is what was saved."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.errors import ConfigurationError
from job.machine import runtime
from job.presets import PRESETS, Architecture, PresetName

pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
runtime.prepare_tensorflow()

from job.network import build
from tests.data.samples import tables

VALUES = replace(PRESETS[PresetName.quickstart].networks[Architecture.lstm], vocabulary_size=50, units=4, embedding_size=8)


def weights(words: int | None) -> Any:
    return build.build(Architecture.lstm, VALUES, 3, words).get_weights()


def test_an_embedding_has_no_more_rows_than_words_and_special_tokens() -> None:
    assert [weights(words)[0].shape for words in (9, 46, 1000, None)] == [(13, 8), (50, 8), (50, 8), (50, 8)]


def test_a_smaller_table_starts_as_the_first_rows_of_a_larger_one_and_the_rest_of_the_network_as_it_did() -> None:
    (small, *rest), (large, *others) = weights(9), weights(None)
    np.testing.assert_array_equal(small, large[:13])
    for one, other in zip(rest, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_an_earlier_version_left_unfinished_with_a_larger_table_is_refused() -> None:
    network = build.build(Architecture.lstm, VALUES, 3, 9)
    with pytest.raises(ConfigurationError, match="pass --fresh to discard it"):
        build.set_weights(network, weights(None))
    build.set_weights(network, weights(9))


def test_only_so_many_ids_have_an_embedding_of_their_own() -> None:
    values = replace(VALUES, embedded_ids=20)
    rows = [build.embedding_rows(values, words) for words in (9, 46, None)]
    assert rows == [13, 20, 20]
    assert build.embedding_rows(replace(values, embedded_ids=80), None) == 50
    assert build.build(Architecture.lstm, values, 3).get_layer("embedding").input_dim == 20


def test_the_network_of_a_file_is_the_one_without_its_tables(tmp_path: Path) -> None:
    values = replace(PRESETS[PresetName.standard].networks[Architecture.lstm], vocabulary_size=9, units=3, embedding_size=4)
    network = build.build(Architecture.lstm, values, 3)
    build.with_tables(network, values, tables(9, [4 * 9 + 5], [])).save(tmp_path / "with.keras")
    plain = build.build(Architecture.lstm, VALUES, 3)
    plain.save(tmp_path / "without.keras")
    for name, expected in (("with", network), ("without", plain)):
        found = build.load(tmp_path / f"{name}.keras")
        assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]
        for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_network_of_an_earlier_version_with_embeddings_of_bigrams_is_refused(tmp_path: Path) -> None:
    tokens = keras.Input((None,), dtype="int32")
    both = [keras.layers.Embedding(9, 2, name=f"{name}embedding")(tokens) for name in ("", "bigram_")]
    pooled = keras.layers.GlobalMaxPooling1D()(keras.layers.Concatenate()(both))
    keras.Model(tokens, keras.layers.Dense(1)(pooled)).save(tmp_path / "model.keras")
    with pytest.raises(ConfigurationError, match=r"model\.keras: is of an earlier version, .* or the SavedModel beside it"):
        build.load(tmp_path / "model.keras")
