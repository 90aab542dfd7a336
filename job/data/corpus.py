"""Encoded reviews: flat arrays of token ids and offsets, made once, kept in the cache and mapped, not loaded."""

import hashlib
import json
import mmap
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.config import DataSource
from job.data import imdb as keras_imdb
from job.data import readers as sources
from job.data import synthetic as embedded
from job.data.cache import checksum, fetch
from job.data.encoding import ARRAYS, encode, encode_ranks, encode_texts
from job.data.staging import staging_folder
from job.data.tokens import FIRST_WORD_ID
from job.errors import DataError, InputOutputError, OutputError

# Part of the cache's key: raise it when encoding changes.
_VERSION = 2


@dataclass(frozen=True, eq=False)
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

    def section(self, first: int, last: int) -> "Corpus":
        """The reviews from `first` to before `last` alone, with the same vocabulary."""
        inside = slice(first, last)
        offsets = self.offsets[first : last + 1]
        return replace(
            self,
            tokens=self.tokens[offsets[0] : offsets[-1]],
            offsets=offsets - offsets[0],
            labels=self.labels[inside],
            parts=self.parts[inside],
            hashes=self.hashes[inside],
        )

    def text(self, index: int) -> str:
        """The words of one review, as far as they are in the vocabulary, between spaces: what the networks see of it."""
        ids = self.review(index)
        return " ".join(self.words[number - FIRST_WORD_ID] for number in ids[ids >= FIRST_WORD_ID].tolist())

    def release(self) -> None:
        """Lets go of the mapped pages that were read, so that memory does not grow to the size of the file.

        They stay in the system's cache, from which reading them again is no more than a page fault.
        """
        if isinstance(self.tokens.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.tokens.base.madvise(mmap.MADV_DONTNEED)


def load(source: DataSource, for_scoring: bool = False) -> Corpus:
    """Encodes a source, or maps what an earlier run encoded.

    Args:
        for_scoring: As of `encode`.

    Raises:
        DataError, MissingInputError, TemporaryError: As the source is.
    """
    name, path, rows = _open(source)
    try:
        return _map(_fill(source, for_scoring, name, path, rows))
    except OutputError as error:
        # A cache that cannot be written is no reason not to train: it is only for speed.
        print(f"warning: {error}; the data are encoded for this run only", file=sys.stderr)
    try:
        with tempfile.TemporaryDirectory(prefix="sentiment-job-") as temporary:
            made = Path(temporary, "corpus")
            encode(name, str(path or name), rows(), made, for_scoring)
            # What is mapped stays there for this process, though the files go.
            return _map(made)
    except OSError as error:
        raise InputOutputError(
            f"writing encoded data among the temporary files failed ({error.strerror or error}); name a writable folder with --cache"
        ) from None


def fill(source: DataSource) -> Path:
    """Makes sure that a source lies encoded in the cache, fetched first where need be; the folder where it lies.

    Raises:
        OutputError: The cache cannot be written.
        DataError, MissingInputError, TemporaryError: As the source is.
    """
    return _fill(source, False, *_open(source))


def _fill(source: DataSource, for_scoring: bool, name: str, path: Path | None, rows: Any) -> Path:
    key = hashlib.sha256(json.dumps([_VERSION, for_scoring, name, *_stamp(source, path)]).encode()).hexdigest()[:32]
    folder = source.cache / "encoded" / key
    if _damage(folder) is None:
        return folder
    with staging_folder(source.cache, key) as staging:
        # Once more: what was waited for may have made it.
        damage = _damage(folder)
        if damage is None:
            return folder
        if folder.exists():
            print(f"warning: {damage}; encoding anew", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
        made = staging / "corpus"
        try:
            encode(name, str(path or name), rows(), made, for_scoring)
            folder.parent.mkdir(exist_ok=True)
            os.replace(made, folder)
        except OSError as error:
            # Another job may have been faster; its arrays are the same ones.
            if _damage(folder):
                raise InputOutputError(
                    f"{folder.parent}: writing encoded data failed ({error.strerror or error}); free some space or name another folder with --cache"
                ) from None
    return folder


def _damage(folder: Path) -> str | None:
    """What is wrong with encoded data; None where they are there and whole."""
    try:
        _map(folder)
    except DataError as error:
        return str(error)
    return None


def _open(source: DataSource) -> tuple[str, Path | None, Any]:
    if source.name == "embedded":
        plural = "s" if len(source.distances) > 1 else ""
        return (
            f"embedded, distance{plural} {' '.join(map(str, source.distances))}",
            None,
            lambda: encode_texts(
                "embedded",
                (
                    sources.Row(text, label, number, part)
                    for distance in source.distances
                    for number, (text, label, part) in enumerate(embedded.reviews(distance), 1)
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
        return "imdb" if source.name == "imdb" else path.name, path, lambda: encode_ranks(path)
    rows = sources.open_source(path, source.text_column, source.label_column)
    return path.name or str(path.resolve().name), path, lambda: encode_texts(str(path), rows)


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
        return [source.distances, checksum(Path(embedded.__file__), "sha256")]
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


def _map(folder: Path) -> Corpus:
    """Maps what `encode` left.

    Raises:
        DataError: It is damaged.
    """
    try:
        record = json.loads((folder / "corpus.json").read_text("utf-8"))
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r" if name == "tokens" else None, allow_pickle=False)
            for name in ARRAYS
        }
        words = json.loads((folder / "vocabulary.json").read_text("utf-8"))
        corpus = Corpus(words=words, **arrays, **record)
        if corpus.offsets[-1] != len(corpus.tokens) or {len(corpus.offsets) - 1} != {
            len(arrays[name]) for name in ("labels", "parts", "hashes")
        }:
            raise ValueError("its arrays do not belong together")
        return corpus
    except (OSError, EOFError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"{folder}: this encoded data set is damaged ({error})") from None
