"""Keras's file of reviews, and files that only look like it."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.data.corpus import load
from job.data.imdb import read_array
from job.errors import DataError
from tests.conftest import write_imdb
from tests.data.samples import check_refused, npz, reviews, source


def test_an_npz_and_the_texts_it_was_made_of_give_the_same_ids(tmp_path: Path) -> None:
    path = write_imdb(tmp_path)
    corpus = load(source(path, tmp_path))
    with np.load(path, allow_pickle=True) as file:
        ranks, labels = file["x_train"], file["y_train"]
    assert corpus.review(3).tolist() == [1, *(rank + 3 for rank in ranks[3])]
    assert corpus.labels[:120].tolist() == labels.tolist()
    assert corpus.words[:2] == ["w1", "w2"]
    assert len(corpus.part("test")) == 120


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return Path.touch, (Path("/tmp/sentiment-job-was-here"),)  # type: ignore[return-value]


_INDEX = json.dumps({"a": 1, "b": 2}).encode()
_GOOD = {"x_train": reviews([1], [2]), "y_train": np.array([0, 1]), "x_test": reviews([1], [2]), "y_test": np.array([0, 1])}

# name, content, word index beside it, exit code, what the line says
BAD: list[tuple[str, bytes, bytes | None, int, str]] = [
    ("no.npz", b"not a zip", _INDEX, 65, "expected an .npz"),
    ("alone.npz", npz(**_GOOD), None, 66, "imdb_word_index.json: no such file"),
    ("index.npz", npz(**_GOOD), b"[]", 65, "expected a JSON object of word: rank"),
    ("deep.npz", npz(**_GOOD), b'{"a":' * 100_000, 65, "not JSON"),
    ("latin.npz", npz(**_GOOD), b'{"\xe9": 1}', 65, "not JSON"),
    ("names.npz", npz(**_GOOD), b'{"a": 1, "b": "2"}', 65, "imdb_word_index.json"),
    ("gap.npz", npz(**_GOOD), b'{"a": 1, "b": 3}', 65, "expected the ranks 1 to 2"),
    ("arrays.npz", npz(a=np.zeros(3)), _INDEX, 65, "missing: x_train"),
    ("evil.npz", npz(**_GOOD | {"x_train": reviews([1], Evil())}), _INDEX, 65, "is not an array, a list or an integer"),
    ("text.npz", npz(**_GOOD | {"x_train": reviews([1], ["a"])}), _INDEX, 65, "x_train row 2: expected word ranks"),
    ("range.npz", npz(**_GOOD | {"x_train": reviews([1], [3])}), _INDEX, 65, "x_train row 2: expected word ranks from 1 to 2"),
    ("zero.npz", npz(**_GOOD | {"x_test": reviews([0], [1])}), _INDEX, 65, "x_test row 1: expected word ranks from 1 to 2"),
    ("string.npz", npz(**_GOOD | {"x_test": reviews("ab", [1])}), _INDEX, 65, "x_test row 1: expected a list"),
    ("labels.npz", npz(**_GOOD | {"y_test": np.array([0, 2])}), _INDEX, 65, "y_test row 2: label"),
    ("count.npz", npz(**_GOOD | {"y_test": np.array([0])}), _INDEX, 65, "2 reviews, but y_test 1 labels"),
    ("float.npz", npz(**_GOOD | {"y_test": np.array([0.0, 1.0])}), _INDEX, 65, "integers were expected"),
    ("square.npz", npz(**_GOOD | {"x_test": np.zeros((2, 2), int)}), _INDEX, 65, "one dimension"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "index", "code", "message"), BAD, ids=[each[0] for each in BAD])
def test_a_bad_file_gets_one_line_and_its_exit_code(
    name: str, content: bytes, index: bytes | None, code: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    if index is not None:
        (tmp_path / "imdb_word_index.json").write_bytes(index)
    check_refused(tmp_path / name, code, message)


def test_nothing_that_a_pickle_holds_is_run(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, reviews(Evil()), allow_pickle=True)
    stream.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="is not an array, a list or an integer"):
        read_array(stream)
    assert not Path("/tmp/sentiment-job-was-here").exists()


def test_an_array_that_unpacks_beyond_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_imdb(tmp_path)
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("x_train.npy").file_size
    monkeypatch.setattr("job.data.imdb._MAX_MEMBER_BYTES", size - 1)
    with pytest.raises(DataError, match="at most"):
        load(source(path, tmp_path))
