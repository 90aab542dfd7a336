"""Encoding: labelled texts or ranks become flat arrays of token ids on disk, a review at a time."""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from job.data import imdb as keras_imdb
from job.data import readers as sources
from job.data.cache import checksum
from job.data.labels import LabelReader
from job.data.tokens import FIRST_WORD_ID, content_hash, tokenize
from job.errors import DataError
from job.files import atomic
from job.presets import START, UNKNOWN

_TEST_SHARE = 0.2
ARRAYS = ("tokens", "offsets", "labels", "parts", "hashes")


@dataclass
class _Encoded:
    """One review on its way to disk: provisional word ids, label (or its code), part (or None) and content hash."""

    ids: Any
    label: int
    part: str | None
    hash: int


class _Index(dict[str, int]):
    """Numbers words as they come."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def encode_ranks(path: Path) -> tuple[Iterator[_Encoded], Any]:
    """What `encode` takes, from an .npz of ranks with its word index."""
    words = keras_imdb.read_word_index(path.with_name(keras_imdb.WORD_INDEX))
    table = np.array(words, dtype=object)

    def reviews() -> Iterator[_Encoded]:
        for ranks, label, part, _ in keras_imdb.read_reviews(path, len(words)):
            yield _Encoded(ranks - 1, label, part, content_hash(table[ranks - 1].tolist()))

    # The ranks are given and stay: the vocabulary belongs to the file.
    return reviews(), lambda _: (words, np.arange(FIRST_WORD_ID, len(words) + FIRST_WORD_ID), [0, 1])


def encode_texts(name: str, rows: Iterable[sources.Row]) -> tuple[Iterator[_Encoded], Any]:
    """What `encode` takes, from labelled texts."""
    index = _Index()
    labels = LabelReader(name)

    def reviews() -> Iterator[_Encoded]:
        for row in rows:
            words = tokenize(row.text)
            yield _Encoded([index[word] for word in words], labels.add(row.label, row.number), row.part, content_hash(words))

    def finish(counts: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64], list[int]]:
        """Ranks by frequency in the training part, words of equal frequency by themselves."""
        words = list(index)
        counts = np.pad(counts, (0, len(words) - len(counts)))
        seen = [number for number in range(len(words)) if counts[number]]
        seen.sort(key=lambda number: (-counts[number], words[number]))
        ids = np.full(len(words), UNKNOWN, dtype=np.int64)
        ids[seen] = np.arange(FIRST_WORD_ID, len(seen) + FIRST_WORD_ID)
        return [words[number] for number in seen], ids, labels.resolve()

    return reviews(), finish


def encode(name: str, shown: str, source: tuple[Iterator[_Encoded], Any], folder: Path, for_scoring: bool = False) -> None:
    """Encodes into a new folder: the arrays of a `Corpus`, its vocabulary, and corpus.json, durably.

    Args:
        name: Of the corpus.
        shown: Names it in errors.
        source: From `encode_texts` or `encode_ranks`.
        for_scoring: Nothing is to be learned from it: its words are those of all parts, and a part may hold one class.

    Raises:
        DataError: There are no reviews, or a part does not hold both classes.
        OSError: Writing failed.
    """
    reviews, finish = source
    folder.mkdir()
    offsets, labels, parts, hashes = array("q", [0]), array("b"), array("b"), array("Q")
    counts = np.zeros(0, np.int64)
    own_test_part = True
    with (folder / "provisional").open("wb") as stream:
        for review in reviews:
            part = review.part
            if part is None:
                own_test_part = False
                part = "test" if review.hash / 2**64 < _TEST_SHARE else "train"
            ids = np.asarray(review.ids, dtype=np.int32)
            if (part == "train" or for_scoring) and len(ids):
                if ids.max() >= len(counts):
                    counts = np.pad(counts, (0, max(1024, int(ids.max()) + 1, 2 * len(counts)) - len(counts)))
                np.add.at(counts, ids, 1)
            stream.write(ids.tobytes())
            offsets.append(offsets[-1] + len(ids) + 1)
            labels.append(review.label)
            parts.append(("train", "test").index(part))
            hashes.append(review.hash)
    if not labels:
        raise DataError(f"{shown}: has no reviews")
    words, table, classes = finish(counts[: np.flatnonzero(counts)[-1] + 1] if counts.any() else counts[:0])
    values = np.array(classes, dtype=np.int8)[np.frombuffer(labels, np.int8)]
    sides = np.frombuffer(parts, np.int8)
    for number, side in enumerate(("training", "test")):
        if not for_scoring and len(set(values[sides == number].tolist())) < 2:
            raise DataError(
                f"{shown}: the {side} part ({int((sides == number).sum())} of {len(values)} reviews) does not hold both classes; more reviews are needed"
            )
    _write_tokens(folder, np.frombuffer(offsets, np.int64), table)
    arrays: dict[str, NDArray[Any]] = {
        "offsets": np.frombuffer(offsets, np.int64),
        "labels": values,
        "parts": sides,
        "hashes": np.frombuffer(hashes, np.uint64),
    }
    for key, value in arrays.items():
        np.save(folder / f"{key}.npy", value)
    vocabulary = json.dumps(words)
    (folder / "vocabulary.json").write_text(vocabulary, "utf-8")
    digest = hashlib.sha256(vocabulary.encode())
    for key in ARRAYS:
        digest.update(bytes.fromhex(checksum(folder / f"{key}.npy", "sha256")))
    (folder / "provisional").unlink()
    record = {"name": name, "own_test_part": own_test_part, "sha256": digest.hexdigest()}
    (folder / "corpus.json").write_text(json.dumps(record), "utf-8")
    atomic.flush(folder)


def _write_tokens(folder: Path, offsets: NDArray[np.int64], table: NDArray[np.int64]) -> None:
    """Turns provisional word numbers into ids, a slice at a time, each review's start token put in front."""
    count = int(offsets[-1])
    words = np.memmap(folder / "provisional", dtype=np.int32, mode="r") if count > len(offsets) - 1 else np.empty(0, np.int32)
    step = 10_000
    # Not through a map: on a full disk, writing into one ends the process.
    with (folder / "tokens.npy").open("wb") as stream:
        npy_format.write_array_header_1_0(stream, {"descr": "<i4", "fortran_order": False, "shape": (count,)})
        for first in range(0, len(offsets) - 1, step):
            bounds = offsets[first : first + step + 1]
            is_word = np.ones(int(bounds[-1] - bounds[0]), dtype=bool)
            is_word[bounds[:-1] - bounds[0]] = False
            block = np.full(len(is_word), START, dtype="<i4")
            # One start token a review lies before every word, so the word's place is its token's less those.
            block[is_word] = table[words[bounds[0] - first : bounds[-1] - first - len(bounds) + 1]]
            stream.write(block.tobytes())
