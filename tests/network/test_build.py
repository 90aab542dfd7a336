"""The networks' embeddings are as large as there are words for them, and what is read back is what was saved."""

import contextlib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.errors import ConfigurationError, DataError
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
    network, evidence = build.build(Architecture.lstm, values, 3), tables(9, [4 * 9 + 5], [])
    build.with_tables(network, values, evidence).save(tmp_path / "with.keras")
    plain = build.build(Architecture.lstm, VALUES, 3, 9)
    plain.save(tmp_path / "without.keras")
    earlier = build.build(Architecture.lstm, VALUES, 3)
    earlier.save(tmp_path / "earlier.keras")
    for name, expected, its, given in (
        ("with", network, values, evidence),
        ("without", plain, VALUES, None),
        ("earlier", earlier, VALUES, None),
    ):
        found = build.load(tmp_path / f"{name}.keras", Architecture.lstm, its, 9, given)
        assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]
        for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_network_of_an_earlier_version_with_embeddings_of_bigrams_is_refused(tmp_path: Path) -> None:
    tokens = keras.Input((None,), dtype="int32")
    both = [keras.layers.Embedding(9, 2, name=f"{name}embedding")(tokens) for name in ("", "bigram_")]
    pooled = keras.layers.GlobalMaxPooling1D()(keras.layers.Concatenate()(both))
    keras.Model(tokens, keras.layers.Dense(1)(pooled)).save(tmp_path / "model.keras")
    with pytest.raises(DataError, match=r"model\.keras: its weights are not those of .* or the SavedModel beside it"):
        build.load(tmp_path / "model.keras", Architecture.lstm, VALUES, 9)


def with_config(path: Path, config: bytes) -> None:
    """Gives a model.keras another description of its layers; its weights stay."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, each in (content | {"config.json": config}).items():
            archive.writestr(name, each)


def test_of_a_file_the_weights_are_read_and_nothing_that_keras_would_call(tmp_path: Path) -> None:
    path, witness = tmp_path / "model.keras", tmp_path / "witness"
    network = build.build(Architecture.lstm, VALUES, 3, 9)
    network.save(path)
    given = keras.Input((1,))
    called = keras.layers.Lambda(
        lambda value, name: (__import__("pathlib").Path(name).touch(), value)[1], arguments={"name": str(witness)}
    )
    evil = keras.Model(given, called(given))
    witness.unlink(missing_ok=True)
    evil.save(tmp_path / "evil.keras")
    with zipfile.ZipFile(tmp_path / "evil.keras") as archive:
        with_config(path, archive.read("config.json"))
    # This is what it would do.
    with contextlib.suppress(ValueError):
        keras.saving.load_model(path, safe_mode=False)
    assert witness.exists()
    witness.unlink()
    found = build.load(path, Architecture.lstm, VALUES, 9)
    for one, other in zip(found.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not witness.exists()
