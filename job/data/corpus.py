"""Encoded reviews: flat arrays of token ids and offsets, made once, kept in the cache and mapped, not loaded."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.config import START, UNKNOWN, DataSource
from job.data import embedded, keras_imdb, sources
from job.data.download import checksum, fetch
from job.data.labels import LabelReader
from job.data.tokens import FIRST_WORD_ID, Vocabulary, content_hash, tokenize
from job.errors import DataError, InputOutputError, OutputError

# Part of the cache's key: raise it when encoding changes.
_VERSION = 1
_TEST_SHARE = 0.2
_ARRAYS = ("tokens", "offsets", "labels", "parts", "hashes")


@dataclass(frozen=True)
class Corpus:
    """Labelled reviews as token ids. Each review starts with the start token, so none is empty.

    Review `i` is `tokens[offsets[i]:offsets[i + 1]]`.
    """

    name: str
    tokens: NDArray[np.int32]
    """<int32>[all tokens]"""
    offsets: NDArray[np.int64]
    """<int64>[reviews + 1]"""
    labels: NDArray[np.int8]
    """<int8>[reviews], 0 or 1"""
    parts: NDArray[np.int8]
    """<int8>[reviews], 0 for training and 1 for test"""
    hashes: NDArray[np.uint64]
    """<uint64>[reviews], of each text's words"""
    words: list[str]
    """The vocabulary by rank."""
    own_test_part: bool
    """Whether the source told which reviews are for testing."""
    sha256: str
    """Of all of the above: the data hash of a run."""

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """<int64>[reviews], tokens a review with the start token."""
        return np.diff(self.offsets)

    def part(self, name: str) -> NDArray[np.int64]:
        """Indices of the reviews of `train` or `test`, in the order of the source."""
        return np.flatnonzero(self.parts == ("train", "test").index(name))

    def split_validation(self, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The training part as (training, validation) indices, by a threshold on the text's hash.

        So a text stays on its side when rows are added, and copies of a text are all on one side.
        """
        train = self.part("train")
        # Other bits than the ones that split off the test part, or the remaining hashes would all be high.
        held_out = (self.hashes[train] & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2**32 < share
        return train[~held_out], train[held_out]

    def review(self, index: int) -> NDArray[np.int32]:
        """Token ids of one review."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]


def load(source: DataSource) -> Corpus:
    """Encodes a source, or maps what an earlier run encoded.

    Raises:
        DataError, MissingInputError, TemporaryError: As the source is.
    """
    name, path, rows = _open(source)
    key = hashlib.sha256(json.dumps([_VERSION, name, *_stamp(source, path)]).encode()).hexdigest()[:32]
    folder = source.cache / "encoded" / key
    if not (folder / "corpus.json").exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=folder.parent))
        except OSError:
            # A cache that cannot be written is no reason not to train: it is only for speed.
            folder = Path(tempfile.mkdtemp(prefix="sentiment-job-")) / key
            print(
                f"warning: the cache {source.cache} cannot be written, so the data are encoded anew in {folder.parent}",
                file=sys.stderr,
            )
            staging = folder.with_name("staging")
            staging.mkdir()
        try:
            _encode(name, str(path or name), rows(), staging)
            os.replace(staging, folder)
        except OSError as error:
            if not (folder / "corpus.json").exists():
                raise InputOutputError(
                    f"{folder.parent}: writing encoded data failed ({error.strerror or error}); free some space or name another folder with --cache"
                ) from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return _map(folder)


def _open(source: DataSource) -> tuple[str, Path | None, Any]:
    if source.name == "embedded":
        return (
            f"embedded, distance {source.distance}",
            None,
            lambda: _encode_texts(
                "embedded",
                (
                    sources.Row(text, label, number, part)
                    for number, (text, label, part) in enumerate(embedded.reviews(source.distance), 1)
                ),
            ),
        )
    path = Path(source.name)
    if source.name == "imdb":
        path = fetch_imdb(source.cache)
    if path.suffix.lower() == ".npz":
        if source.text_column or source.label_column:
            raise DataError(f"{path}: an .npz has no columns; leave --text-column and --label-column out")
        if not path.exists():
            sources.open_source(path, None, None)
        return "imdb" if source.name == "imdb" else path.name, path, lambda: _encode_ranks(path)
    rows = sources.open_source(path, source.text_column, source.label_column)
    return path.name or str(path.resolve().name), path, lambda: _encode_texts(str(path), rows)


def fetch_imdb(cache: Path) -> Path:
    """The path of Keras's IMDB file in the cache, fetched first where it is not there."""
    path = cache / "imdb.npz"
    files = [("imdb.npz", "sha256", keras_imdb.SHA256), (keras_imdb.WORD_INDEX, "md5", keras_imdb.MD5)]
    for name, algorithm, sums in files:
        target = cache / name
        otherwise = (
            f"without a network put {name} (and {'imdb.npz' if name != 'imdb.npz' else keras_imdb.WORD_INDEX}) into {cache}, "
            "or use --data PATH for a copy elsewhere, or --data embedded"
        )
        if not target.exists():
            fetch(keras_imdb.URL + name, target, algorithm, sums[name], otherwise)
        elif checksum(target, algorithm) != sums[name]:
            raise DataError(
                f"{target}: is not Keras's file (its {algorithm} is not {sums[name]}); remove it, or name it with --data {target}"
            )
    return path


def _stamp(source: DataSource, path: Path | None) -> list[Any]:
    """What tells that a source has changed, without reading it."""
    if path is None:
        # The generator's own text: a cached corpus must not outlive a change of the program.
        return [source.distance, checksum(Path(embedded.__file__), "sha256")]
    files = [path]
    if path.is_dir():
        files = sorted(path.rglob("*.txt"))
    elif path.suffix.lower() == ".npz":
        files = [path, path.with_name(keras_imdb.WORD_INDEX)]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    return [
        str(path.resolve()),
        source.text_column,
        source.label_column,
        hashlib.sha256(json.dumps(stats).encode()).hexdigest(),
    ]


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


def _encode_ranks(path: Path) -> tuple[Iterator[_Encoded], Any]:
    words = keras_imdb.read_word_index(path.with_name(keras_imdb.WORD_INDEX))
    table = np.array(words, dtype=object)

    def reviews() -> Iterator[_Encoded]:
        for ranks, label, part, _ in keras_imdb.read_reviews(path, len(words)):
            yield _Encoded(ranks - 1, label, part, content_hash(table[ranks - 1].tolist()))

    # The ranks are given and stay: the vocabulary belongs to the file.
    return reviews(), lambda _: (words, np.arange(FIRST_WORD_ID, len(words) + FIRST_WORD_ID), [0, 1])


def _encode_texts(name: str, rows: Iterable[sources.Row]) -> tuple[Iterator[_Encoded], Any]:
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


def _encode(name: str, shown: str, source: tuple[Iterator[_Encoded], Any], folder: Path) -> None:
    reviews, finish = source
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
            if part == "train" and len(ids):
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
        if len(set(values[sides == number].tolist())) < 2:
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
    for key in _ARRAYS:
        digest.update(bytes.fromhex(checksum(folder / f"{key}.npy", "sha256")))
    (folder / "provisional").unlink()
    record = {"name": name, "own_test_part": own_test_part, "sha256": digest.hexdigest()}
    (folder / "corpus.json").write_text(json.dumps(record), "utf-8")


def _write_tokens(folder: Path, offsets: NDArray[np.int64], table: NDArray[np.int64]) -> None:
    """Turns provisional word numbers into ids, a slice at a time, each review's start token put in front."""
    count = int(offsets[-1])
    tokens = np.lib.format.open_memmap(folder / "tokens.npy", mode="w+", dtype=np.int32, shape=(count,))
    words = np.memmap(folder / "provisional", dtype=np.int32, mode="r") if count > len(offsets) - 1 else np.empty(0, np.int32)
    step = 10_000
    for first in range(0, len(offsets) - 1, step):
        bounds = offsets[first : first + step + 1]
        is_word = np.ones(int(bounds[-1] - bounds[0]), dtype=bool)
        is_word[bounds[:-1] - bounds[0]] = False
        block = np.full(len(is_word), START, dtype=np.int32)
        # One start token a review lies before every word, so the word's place is its token's less those.
        block[is_word] = table[words[bounds[0] - first : bounds[-1] - first - len(bounds) + 1]]
        tokens[bounds[0] : bounds[-1]] = block
    tokens.flush()


def _map(folder: Path) -> Corpus:
    try:
        record = json.loads((folder / "corpus.json").read_text("utf-8"))
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r" if name == "tokens" else None, allow_pickle=False)
            for name in _ARRAYS
        }
        words = json.loads((folder / "vocabulary.json").read_text("utf-8"))
        return Corpus(words=words, **arrays, **record)
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{folder}: this encoded data set is damaged ({error}); remove the folder and run again") from None


def vocabulary(corpus: Corpus) -> Vocabulary:
    """The corpus's vocabulary."""
    return Vocabulary(corpus.words)
