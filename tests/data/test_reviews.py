from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.data.corpus import Corpus, load
from job.data.reviews import Reviews, split
from job.errors import DataError
from job.presets import PRESETS, Architecture, PresetName
from job.source import DataSource
from tests.conftest import rows, table, write_imdb
from tests.data.samples import tiny


def view(*reviews: list[int], **how: Any) -> Reviews:
    return Reviews(corpus(*reviews), np.arange(len(reviews)), **how)


def corpus(*reviews: list[int]) -> Corpus:
    return tiny(list(reviews), [index % 2 for index in range(len(reviews))], words=["a", "b", "c", "d", "e", "f"])


def test_a_batch_is_padded_at_its_end_and_long_reviews_lose_their_beginning() -> None:
    batch = view([1, 4, 5, 6, 7], [1, 9], [1], vocabulary_size=7, max_tokens=3).batch(np.array([0, 1, 2]))
    assert batch.tokens.tolist() == [[5, 6, 2], [1, 2, 0], [1, 0, 0]]
    assert batch.labels.tolist() == [0.0, 1.0, 0.0]


def test_a_batch_of_a_fixed_length_is_what_pad_sequences_gives() -> None:
    keras = pytest.importorskip("keras")
    reviews = [[1, 4, 5], [1, 4, 5, 6, 7, 8, 9]]
    expected = keras.utils.pad_sequences(reviews, value=0, padding="post", maxlen=5)
    batch = view(*reviews, vocabulary_size=1000, max_tokens=5, length=5).batch(np.array([0, 1]))
    assert batch.tokens.tolist() == expected.tolist()


def test_the_tutorial_s_reviews_are_those_of_keras_s_load_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = pytest.importorskip("keras")
    path = write_imdb(tmp_path)
    from keras.src.datasets import imdb

    monkeypatch.setattr(imdb, "get_file", lambda *_, **__: str(path))
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=30)
    ours = load(DataSource(name=str(path), cache=tmp_path))
    parts = split(ours, replace(PRESETS[PresetName.seed].networks[Architecture.rnn], vocabulary_size=30))
    assert len(parts.validation) == 0
    for part, reviews, labels in zip((parts.train, parts.test), (x_train, x_test), (y_train, y_test), strict=True):
        batch = part.batch(np.arange(100))
        assert batch.tokens.tolist() == keras.utils.pad_sequences(reviews[:100], padding="post", maxlen=888).tolist()
        assert batch.labels.tolist() == labels[:100].tolist()


def test_a_view_tells_of_its_reviews_alone_by_their_places_in_it() -> None:
    reviews = Reviews(corpus([1, 4, 5, 6, 7], [1, 9], [1]), np.array([2, 0]), vocabulary_size=7, max_tokens=3)
    assert len(reviews) == 2
    assert reviews.labels.tolist() == [0, 0]
    assert reviews.hashes.tolist() == [2, 0]
    assert reviews.lengths.tolist() == [1, 3]
    assert reviews.tokens(1).tolist() == [5, 6, 2]
    assert reviews.flat().tolist() == [1, 5, 6, 2]
    assert reviews.text(1) == "a b c d"
    assert reviews.take(slice(1, 2)).flat().tolist() == [5, 6, 2]
    assert [batch.tokens.tolist() for batch in reviews.batches([np.array([1]), np.array([0])])] == [[[5, 6, 2]], [[1]]]
    assert reviews.take(slice(0)).flat().tolist() == []


def test_seeds_share_the_parts_and_so_do_networks_that_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(rows(200)))
    ours = load(DataSource(name=str(tmp_path / "a.csv"), cache=tmp_path))
    rnn, lstm = PRESETS[PresetName.standard].networks.values()
    parts = split(ours, rnn)
    assert split(ours, lstm) is parts
    assert parts.train.length is None
    assert sorted(np.concatenate([part.indices for part in parts]).tolist()) == list(range(200))
    assert split(ours, replace(rnn, max_tokens=3)).train.lengths.max() == 3


def test_no_more_reviews_are_held_out_than_there_is_a_use_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(rows(2_000)))
    ours = load(DataSource(name=str(tmp_path / "a.csv"), cache=tmp_path))
    values = replace(PRESETS[PresetName.standard].networks[Architecture.rnn], validation_share=0.2)
    unbounded, bounded = (split(ours, replace(values, most_validation=most)) for most in (0, 100))
    assert 250 < len(unbounded.validation) < 400
    assert 60 < len(bounded.validation) < 140
    assert set(bounded.validation.indices.tolist()) < set(unbounded.validation.indices.tolist())
    assert len(split(ours, replace(values, most_validation=10_000)).validation) == len(unbounded.validation)


def test_a_part_that_is_learned_from_must_hold_both_classes(tmp_path: Path) -> None:
    values = PRESETS[PresetName.standard].networks[Architecture.rnn]
    of_parts = [(f"{side} {part}", side, part) for part in ("train", "test") for side in ("pos", "neg")]
    (tmp_path / "a.csv").write_bytes(table(of_parts, header=("text", "label", "split")))
    ours = load(DataSource(name=str(tmp_path / "a.csv"), cache=tmp_path))
    with pytest.raises(DataError, match=r"a\.csv: the validation part \(0 reviews\) does not hold both classes"):
        split(ours, values)
