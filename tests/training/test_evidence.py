"""What n-grams say of training reviews comes from fits without them, of the others from the fit on all."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.data import ngrams
from job.data.corpus import Corpus
from job.data.evidence import Evidence, Tables
from job.data.ngrams import Ngrams
from job.data.reviews import Parts, Reviews
from job.presets import PRESETS, Architecture, ClassWeight, Hyperparameters, PresetName
from job.training import evidence, linear
from tests.data.samples import tiny

FOLDS, TRAIN = 3, 60
VALUES = replace(PRESETS[PresetName.standard].networks[Architecture.rnn], evidence=6)
SIZE = 10


def corpus(flipped: Any = ()) -> Corpus:
    """80 reviews of 3 to 14 words, which tell something of the label; those of `flipped` have the other label."""
    random = np.random.default_rng(0)
    labels = [number % 2 for number in range(80)]
    lengths = random.integers(3, 15, 80)
    reviews = [[1, *random.integers(2 + 2 * label, 9 + 2 * label, length).tolist()] for label, length in zip(labels, lengths, strict=True)]  # fmt: skip
    made = tiny(reviews, [1 - label if number in flipped else label for number, label in enumerate(labels)])
    hashes = random.integers(0, 1 << 63, 80).astype(np.uint64)
    return replace(made, hashes=hashes, sha256="".join(map(str, made.labels[:64])))


def train(made: Corpus, max_tokens: int = 10) -> Reviews:
    return Reviews(made, np.arange(TRAIN), SIZE, max_tokens)


def everything(made: Corpus) -> Reviews:
    return replace(train(made), indices=np.arange(80))


def arrays(found: Evidence) -> dict[str, Any]:
    return found.tables.arrays() | {"numbers": found.numbers, "offsets": found.offsets, "logits": found.logits}


def assert_same(one: Evidence, other: Evidence) -> None:
    assert arrays(one).keys() == arrays(other).keys()
    for name, array in arrays(one).items():
        np.testing.assert_array_equal(array, arrays(other)[name], err_msg=name)
        assert array.dtype == arrays(other)[name].dtype, name


@pytest.fixture(scope="module", autouse=True)
def _few_folds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "FOLDS", FOLDS)
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return evidence.load(train(corpus()), VALUES, tmp_path_factory.mktemp("cache"))


def fitted(reviews: Reviews, known: Ngrams) -> linear.LinearModel:
    present = ngrams.presence(reviews, known)
    return linear.fit(present, reviews.labels, known, linear.INVERSE_PENALTY, VALUES.class_weight, 2)


def test_the_numbers_are_ratios_and_weights_of_the_fit_without_the_review_s_fold(found: Evidence) -> None:
    reviews = train(corpus())
    mine, known, scales = evidence.folds(reviews), found.tables.ngrams, found.tables.scales
    assert set(mine) == set(range(FOLDS))
    np.testing.assert_array_equal(known.trigrams, ngrams.frequent(reviews, 10**6, 10**6).trigrams)
    models = [fitted(reviews.take(np.flatnonzero(mine != fold)), known) for fold in range(FOLDS)]
    whole = fitted(reviews, known)
    every = everything(reviews.corpus)
    for index in range(80):
        model = models[mine[index]] if index < TRAIN else whole
        alone = every.take(np.array([index]))
        features = known.ending(*ngrams.flat(alone))
        columns = [np.append(array, 0)[features] for array in (model.ratios, model.weights)]
        np.testing.assert_allclose(found.of(index, 6), np.concatenate(columns, axis=1) / scales, atol=2e-3, rtol=1e-3)
        assert found.of(index, 3).tolist() == found.of(index, 6)[:, :3].tolist()
        assert found.logits[index] == pytest.approx(model.logits(alone)[0], abs=0.01)
    assert np.abs(models[0].weights - whole.weights).max() > 0.05


def test_a_fold_s_labels_tell_nothing_in_its_own_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The scales are of all training reviews; without them, what is left is equal to the bit.
    monkeypatch.setattr(evidence, "_scales", lambda *_: np.ones(6, np.float32))
    mine = evidence.folds(train(corpus()))
    before = evidence.load(train(corpus()), VALUES, tmp_path)
    for fold in range(FOLDS):
        after = evidence.load(train(corpus(np.flatnonzero(mine == fold))), VALUES, tmp_path)
        for index in range(80):
            is_own = index < TRAIN and mine[index] == fold
            assert np.array_equal(after.of(index, 6), before.of(index, 6)) == is_own
            assert (after.logits[index] == before.logits[index]) == is_own


def test_of_other_reviews_the_numbers_are_those_of_the_tables(found: Evidence) -> None:
    held_out = everything(corpus()).take(slice(TRAIN, 80))
    tokens, owners = ngrams.flat(held_out)
    expected = found.tables.numbers(tokens, owners)
    np.testing.assert_array_equal(np.concatenate([found.of(index, 6) for index in range(TRAIN, 80)]), expected)
    np.testing.assert_allclose(found.logits[TRAIN:], found.tables.logits(tokens, owners, 20), atol=1e-6)


def test_each_number_s_root_mean_square_over_the_training_reviews_is_1(found: Evidence) -> None:
    numbers = np.concatenate([found.of(index, 6) for index in range(TRAIN)]).astype(np.float64)
    np.testing.assert_allclose(np.sqrt((numbers**2).mean(0)), np.ones(6), atol=2e-3)


def test_where_no_n_gram_occurs_twice_the_scale_is_1_and_pairs_and_triples_say_nothing(tmp_path: Path) -> None:
    made = tiny([[1, 4 + number % 6] for number in range(32)], [number // 3 % 2 for number in range(32)])
    made = replace(made, hashes=np.arange(32).astype(np.uint64) << np.uint64(32))
    sparse = evidence.load(Reviews(made, np.arange(32), SIZE), VALUES, tmp_path)
    assert (len(sparse.tables.ngrams.bigrams), len(sparse.tables.ngrams.trigrams)) == (0, 0)
    assert sparse.tables.scales[[1, 2, 4, 5]].tolist() == [1, 1, 1, 1]
    assert not np.asarray(sparse.numbers)[:, [1, 2, 4, 5]].any()


def test_a_class_that_is_in_one_fold_alone_gets_numbers_that_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "FOLDS", 16)
    hashes = np.array([0, 0, *range(1, 15)]).astype(np.uint64) << np.uint64(32)
    rare = replace(tiny([[1, 4, 5]] * 2 + [[1, 5, 6]] * 14, [1, 1] + [0] * 14), hashes=hashes)
    made = evidence.load(Reviews(rare, np.arange(16), SIZE), VALUES, tmp_path)
    assert not made.of(0, 6).any()
    assert made.logits[:2].tolist() == [0, 0]
    assert made.of(2, 6).any()
    assert made.logits[2] < 0


def test_whole_groups_and_all_copies_are_in_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "FOLDS", 4)
    made = replace(tiny([[1, 4]] * 8), hashes=np.array([1, 2, 1, 3, 4, 2, 1, 5], np.uint64) << np.uint64(32))
    reviews = Reviews(made, np.array([0, 1, 2, 3, 5, 6, 7]), SIZE)
    assert evidence.folds(reviews).tolist() == [1, 2, 1, 3, 2, 1, 1]
    grouped = replace(made, groups=np.array([7, 7, 7, 7, 0, 8, 8, 8], np.uint64) << np.uint64(32))
    assert evidence.folds(replace(reviews, corpus=grouped)).tolist() == [3, 3, 3, 3, 0, 0, 0]


def test_a_review_of_which_the_end_is_read_has_no_n_grams_from_before_it(tmp_path: Path) -> None:
    texts = [[1, 4, 5, 6, 7], [1, 5, 4, 7, 6]] * 8
    made = replace(tiny(texts, [0, 1] * 8), hashes=np.arange(16).astype(np.uint64) << np.uint64(32))
    reviews = Reviews(made, np.arange(16), SIZE)
    whole, clipped = (evidence.load(replace(reviews, max_tokens=most), VALUES, tmp_path) for most in (None, 3))
    assert (whole.of(0, 6).shape, clipped.of(0, 6).shape) == ((5, 6), (3, 6))
    is_said = clipped.of(0, 3) != 0
    assert is_said[:, 1:].tolist() == [[False, False], [True, False], [True, True]]
    assert (whole.of(0, 3) != 0)[2:, 1:].tolist() == [[True, False], [True, True], [True, True]]
    assert whole.tables.ngrams.trigrams.tolist() == [456, 476, 547, 567]
    assert clipped.tables.ngrams.trigrams.tolist() == [476, 567]


def never(*_: Any) -> None:
    raise AssertionError("made anew")


def test_a_second_call_reads_what_the_first_one_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Evidence) -> None:
    assert_same(evidence.load(train(corpus()), VALUES, tmp_path), found)
    monkeypatch.setattr(evidence, "_make", never)
    assert_same(evidence.load(train(corpus()), VALUES, tmp_path), found)
    other: list[tuple[Reviews, Hyperparameters]] = [
        (train(corpus([3])), VALUES),
        (train(corpus(), 9), VALUES),
        (train(corpus()).take(slice(50)), VALUES),
        (train(corpus()), replace(VALUES, class_weight=ClassWeight.balanced)),
    ]
    for reviews, values in other:
        with pytest.raises(AssertionError, match="made anew"):
            evidence.load(reviews, values, tmp_path)
    # How many of them are read makes no difference.
    assert_same(evidence.load(train(corpus()), replace(VALUES, evidence=3), tmp_path), found)
    assert list((tmp_path / "unfinished").iterdir()) == []


@pytest.mark.parametrize("name", ["numbers", "values", "offsets", "bias"])
@pytest.mark.parametrize("how", ["missing", "empty", "cut"])
def test_what_is_damaged_is_made_anew(tmp_path: Path, name: str, how: str, found: Evidence) -> None:
    evidence.load(train(corpus()), VALUES, tmp_path)
    (path,) = tmp_path.glob(f"evidence/*/{name}.npy")
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(b"" if how == "empty" else content[:-1])
    assert_same(evidence.load(train(corpus()), VALUES, tmp_path), found)
    assert path.read_bytes() == content


def test_arrays_that_do_not_belong_together_are_not_read(tmp_path: Path, found: Evidence) -> None:
    evidence.load(train(corpus()), VALUES, tmp_path)
    (folder,) = tmp_path.glob("evidence/*")
    assert_same(Evidence.read(folder), found)
    np.save(folder / "logits.npy", np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="do not belong together"):
        Evidence.read(folder)


def test_without_a_cache_it_is_made_for_this_run_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, found: Evidence
) -> None:
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    caplog.set_level(logging.WARNING)
    made = evidence.load(train(corpus()), VALUES, tmp_path / "cache")
    assert_same(made, found)
    made.release()
    assert made.of(79, 6).tolist() == found.of(79, 6).tolist()
    (said,) = caplog.messages
    assert "cannot be written" in said
    assert said.endswith("; what the n-grams say is found out for this run only")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_tables_come_back_as_they_were(found: Evidence) -> None:
    from safetensors.numpy import load

    again = Tables.of_arrays(load(found.tables.to_safetensors()))
    assert_same(replace(found, tables=again), found)
    tokens, owners = ngrams.flat(everything(corpus()))
    np.testing.assert_array_equal(again.numbers(tokens, owners), found.tables.numbers(tokens, owners))


@pytest.mark.parametrize("kinds", [3, 6])
def test_the_parts_of_a_network_have_the_numbers_that_it_reads(tmp_path: Path, kinds: int, found: Evidence) -> None:
    every = everything(corpus())
    parts = Parts(*(every.take(slice(first, last)) for first, last in ((0, TRAIN), (TRAIN, 70), (70, 80))))
    assert evidence.attached(parts, replace(VALUES, evidence=0), tmp_path / "none") is parts
    assert not (tmp_path / "none").exists()
    shutil.rmtree(tmp_path, ignore_errors=True)
    for first, part in zip((0, TRAIN, 70), evidence.attached(parts, replace(VALUES, evidence=kinds), tmp_path), strict=True):
        batch = part.batch(np.array([3, 0]))
        lengths = part.lengths[[3, 0]]
        for row, (place, length) in enumerate(zip((3, 0), lengths.tolist(), strict=True)):
            assert batch.numbers[row, :length].tolist() == found.of(first + place, kinds).tolist()
            assert not batch.numbers[row, length:].any()
        assert batch.numbers.shape == (2, lengths.max(), kinds)
        assert batch.linear.tolist() == found.logits[[first + 3, first]].tolist()
        assert part.flat_numbers().tolist() == [row for place in range(len(part)) for row in part.numbers(place).tolist()]


def test_without_a_cache_they_are_made_once_for_all_trainings_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    make = evidence._make

    def counted(train: Reviews, class_weight: ClassWeight, folder: Path) -> None:
        made.append(folder)
        make(train, class_weight, folder)

    monkeypatch.setattr(evidence, "_make", counted)
    (tmp_path / "file").touch()
    reviews = train(corpus())
    first = evidence.load(reviews, VALUES, tmp_path / "file" / "cache")
    # Another network reads fewer of the same numbers.
    assert evidence.load(reviews, replace(VALUES, evidence=3), tmp_path / "file" / "cache") is first
    assert len(made) == 1
