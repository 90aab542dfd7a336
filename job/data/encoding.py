"""Encoding: a source's reviews become flat arrays of token ids on disk, one review at a time."""

import hashlib
import json
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from job.data.sources import Source
from job.errors import DataError
from job.files import atomic, checksum
from job.presets import START

_TEST_SHARE = 0.2
ARRAYS = ("tokens", "offsets", "labels", "parts", "hashes")


def encode(source: Source, folder: Path, for_scoring: bool = False) -> None:
    """Encodes into a new folder: the arrays of a `Corpus`, its vocabulary, and corpus.json, durably.

    Args:
        for_scoring: Nothing is to be learned from it: its words are those of all parts, and a part may hold one class.

    Raises:
        DataError: There are no reviews, or a part does not hold both classes.
        MissingInputError: A file that belongs to the source is missing.
        OSError: Writing failed.
    """
    folder.mkdir()
    offsets, labels, parts, hashes = array("q", [0]), array("b"), array("b"), array("Q")
    counts = np.zeros(0, np.int64)
    own_test_part = True
    with (folder / "provisional").open("wb") as stream:
        for review in source.reviews():
            part = review.part
            if part is None:
                own_test_part = False
                part = "test" if review.hash / 2**64 < _TEST_SHARE else "train"
            numbers = np.asarray(review.numbers, dtype=np.int32)
            if (part == "train" or for_scoring) and len(numbers):
                if numbers.max() >= len(counts):
                    counts = np.pad(counts, (0, max(1024, int(numbers.max()) + 1, 2 * len(counts)) - len(counts)))
                np.add.at(counts, numbers, 1)
            stream.write(numbers.tobytes())
            offsets.append(offsets[-1] + len(numbers) + 1)
            labels.append(review.label)
            parts.append(("train", "test").index(part))
            hashes.append(review.hash)
    if not labels:
        raise DataError(f"{source.shown}: has no reviews")
    meaning = source.resolve(counts[: np.flatnonzero(counts)[-1] + 1] if counts.any() else counts[:0])
    values = np.array(meaning.classes, dtype=np.int8)[np.frombuffer(labels, np.int8)]
    sides = np.frombuffer(parts, np.int8)
    for number, side in enumerate(("training", "test")):
        if not for_scoring and len(set(values[sides == number].tolist())) < 2:
            raise DataError(
                f"{source.shown}: the {side} part ({int((sides == number).sum())} of {len(values)} reviews) does not hold both classes; more reviews are needed"
            )
    _write_tokens(folder, np.frombuffer(offsets, np.int64), meaning.ids)
    arrays: dict[str, NDArray[Any]] = {
        "offsets": np.frombuffer(offsets, np.int64),
        "labels": values,
        "parts": sides,
        "hashes": np.frombuffer(hashes, np.uint64),
    }
    for key, value in arrays.items():
        np.save(folder / f"{key}.npy", value)
    vocabulary = json.dumps(meaning.words)
    (folder / "vocabulary.json").write_text(vocabulary, "utf-8")
    digest = hashlib.sha256(vocabulary.encode())
    for key in ARRAYS:
        digest.update(bytes.fromhex(checksum.of_file(folder / f"{key}.npy")))
    (folder / "provisional").unlink()
    record = {"name": source.name, "own_test_part": own_test_part, "sha256": digest.hexdigest()}
    (folder / "corpus.json").write_text(json.dumps(record), "utf-8")
    atomic.flush(folder)


def _write_tokens(folder: Path, offsets: NDArray[np.int64], ids: NDArray[np.int64]) -> None:
    """Turns provisional word numbers into ids, a slice at a time, with a start token before each review."""
    count = int(offsets[-1])
    words = np.memmap(folder / "provisional", dtype=np.int32, mode="r") if count > len(offsets) - 1 else np.empty(0, np.int32)
    step = 10_000
    # Not through a memory map: on a full disk, writing into one ends the process.
    with (folder / "tokens.npy").open("wb") as stream:
        npy_format.write_array_header_1_0(stream, {"descr": "<i4", "fortran_order": False, "shape": (count,)})
        for first in range(0, len(offsets) - 1, step):
            bounds = offsets[first : first + step + 1]
            is_word = np.ones(int(bounds[-1] - bounds[0]), dtype=bool)
            is_word[bounds[:-1] - bounds[0]] = False
            block = np.full(len(is_word), START, dtype="<i4")
            # Among the tokens, each review adds its start token, so a word's place among the words is its token's less those.
            block[is_word] = ids[words[bounds[0] - first : bounds[-1] - first - len(bounds) + 1]]
            stream.write(block.tobytes())
