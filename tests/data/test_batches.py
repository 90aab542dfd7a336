from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.config import DataSource
from job.data.batches import assemble, evaluation_order, keras_shuffle, training_order
from job.data.corpus import Corpus, load
from tests.conftest import write_imdb

Lengths = st.lists(st.integers(1, 400), min_size=1, max_size=300)


@given(lengths=Lengths, size=st.integers(1, 40), seed=st.integers(0, 99), epoch=st.integers(1, 9))
def test_every_review_is_trained_on_once_an_epoch(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    order = training_order(np.array(lengths), size, 40, seed, epoch)
    assert sorted(np.concatenate(order).tolist()) == list(range(len(lengths)))
    assert len(order) == -(-len(lengths) // size)
    assert max(len(batch) for batch in order) <= size


@given(lengths=Lengths, size=st.integers(1, 40))
def test_every_review_is_evaluated_once(lengths: list[int], size: int) -> None:
    assert sorted(np.concatenate(evaluation_order(np.array(lengths), size)).tolist()) == list(range(len(lengths)))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = np.arange(1000) % 300 + 1

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(training_order(lengths, 8, 40, seed, epoch)).tolist()  # type: ignore[no-any-return]

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)


def test_little_of_a_batch_is_padding() -> None:
    lengths = np.minimum(np.random.default_rng(0).lognormal(5.2, 0.7, 20_000).astype(int) + 1, 400)
    order = training_order(lengths, 64, 40, 0, 1)
    processed = sum(len(batch) * lengths[batch].max() for batch in order)
    assert lengths.sum() / processed > 0.9


def corpus(*reviews: list[int]) -> Corpus:
    count = len(reviews)
    return Corpus(
        name="tiny",
        tokens=np.array([token for review in reviews for token in review], np.int32),
        offsets=np.cumsum([0, *map(len, reviews)]).astype(np.int64),
        labels=np.array([index % 2 for index in range(count)], np.int8),
        parts=np.zeros(count, np.int8),
        hashes=np.arange(count, dtype=np.uint64),
        words=["a", "b", "c", "d", "e", "f"],
        own_test_part=True,
        sha256="0" * 64,
    )


def test_a_batch_is_padded_at_its_end_and_long_reviews_lose_their_beginning() -> None:
    batch = assemble(corpus([1, 4, 5, 6, 7], [1, 9], [1]), np.array([0, 1, 2]), vocabulary_size=7, max_tokens=3)
    assert batch.tokens.tolist() == [[5, 6, 2], [1, 2, 0], [1, 0, 0]]
    assert batch.labels.tolist() == [0.0, 1.0, 0.0]


def test_a_batch_of_a_fixed_length_is_what_pad_sequences_gives() -> None:
    keras = pytest.importorskip("keras")
    reviews = [[1, 4, 5], [1, 4, 5, 6, 7, 8, 9]]
    expected = keras.utils.pad_sequences(reviews, value=0, padding="post", maxlen=5)
    assert assemble(corpus(*reviews), np.array([0, 1]), 1000, 5, 5).tokens.tolist() == expected.tolist()


def test_the_tutorial_s_reviews_are_those_of_keras_s_load_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = pytest.importorskip("keras")
    path = write_imdb(tmp_path)
    from keras.src.datasets import imdb

    monkeypatch.setattr(imdb, "get_file", lambda *_, **__: str(path))
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=30)
    ours = load(DataSource(name=str(path), cache=tmp_path))
    for indices, reviews, labels in zip(keras_shuffle(ours, 100), (x_train, x_test), (y_train, y_test), strict=True):
        batch = assemble(ours, indices, 30, 888, 888)
        assert batch.tokens.tolist() == keras.utils.pad_sequences(reviews[:100], padding="post", maxlen=888).tolist()
        assert batch.labels.tolist() == labels[:100].tolist()


def test_mapped_pages_are_let_go_and_can_be_read_again(tmp_path: Path) -> None:
    import resource

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell the resident memory in /proc")
    count = 16 << 20
    np.save(tmp_path / "tokens.npy", np.full(count, 7, np.int32))
    mapped = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    nothing = np.zeros(1, np.int8)
    corpus = Corpus("test", mapped, np.array([0, count]), nothing, nothing, np.zeros(1, np.uint64), [], True, "")
    before = resident()
    assert int(corpus.review(0).sum()) == 7 * count
    read = resident()
    assert read - before > 48 << 20
    corpus.release()
    assert read - resident() > 48 << 20
    assert int(corpus.review(0)[-1]) == 7
