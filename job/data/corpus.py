"""Encoded reviews: flat arrays of token ids and offsets, made once, kept in the cache and mapped, not loaded."""

import functools
import hashlib
import json
import logging
import mmap
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.data import parts
from job.data.cache import staging_folder
from job.data.encoding import ARRAYS, encode
from job.data.sheet import reading
from job.data.sources import open_source
from job.data.tokens import FIRST_WORD_ID, Vocabulary
from job.errors import DataError, InputOutputError, OutputError
from job.files import checksum
from job.files.reading import require_files
from job.records.data import Reading
from job.source import DataSource

log = logging.getLogger(__name__)

# Part of the cache's key: raise it when encoding changes.
_VERSION = 3


@dataclass(frozen=True, eq=False)
class Corpus:
    """Reviews as token ids, labelled but for those of the part `unlabelled`. Every review begins with the start token, so none is empty.

    Review `i` is `tokens[offsets[i]:offsets[i + 1]]`.
    """

    name: str
    tokens: NDArray[np.int32]
    """<int32>[all tokens]"""
    offsets: NDArray[np.int64]
    """<int64>[reviews + 1]"""
    labels: NDArray[np.int8]
    """<int8>[reviews], 0 or 1; in the part `unlabelled` 0, which says nothing"""
    parts: NDArray[np.int8]
    """<int8>[reviews], a number of job/data/parts.py"""
    hashes: NDArray[np.uint64]
    """<uint64>[reviews], of each text's words"""
    words: list[str]
    """The vocabulary by rank."""
    rows: NDArray[np.int64]
    """<int64>[reviews], each one's place in its file or folder, from 1"""
    groups: NDArray[np.uint64] | None
    """<uint64>[reviews], a hash of what must stay together; None where nothing is known of that"""
    own_test_part: bool
    """Whether the source says which reviews are for testing."""
    own_validation_part: bool
    """Whether the source says which reviews are for validation."""
    is_generated: bool
    """Whether the package made it itself."""
    sha256: str
    """Of the arrays and the vocabulary: the data hash of a run."""
    reading: Reading
    """What became of every row of the source."""
    ids: list[str | None] | None = None
    """What the user knows each test review by, in their order; None where there is nothing."""
    origin: tuple[Path, int, int] | None = None
    """The folder that is mapped, and the first review and the one after the last; None where it is in memory alone."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the same files."""
        if self.origin is not None:
            return mapped, self.origin
        return Corpus, tuple(getattr(self, each.name) for each in fields(self))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """<int64>[reviews], the number of tokens of each review, its start token counted."""
        return np.diff(self.offsets)

    @property
    def vocabulary(self) -> Vocabulary:
        """Its words, and how a text is split into such."""
        return Vocabulary(self.words, self.reading.takes_out_html)

    def part(self, name: str) -> NDArray[np.int64]:
        """Indices of the reviews of `train`, `validation`, `test` or `unlabelled`, in the order of the source: <int64>[reviews]."""
        return np.flatnonzero(self.parts == parts.OF_CORPUS[name])

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Indices of the reviews whose labels say something, in the order of the source: <int64>[reviews]."""
        return np.flatnonzero(self.parts != parts.UNLABELLED)

    def split_validation(self, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(training, validation) indices: the source's own, or the training part split by a threshold on a hash.

        It is the hash of the text, or of the group where there are some. So a text stays on its side when rows are added,
        and all copies of a text, or all reviews of a group, are on the same side. Of very few texts see `parts.held_out`.
        """
        train = self.part("train")
        if self.own_validation_part:
            return train, self.part("validation")
        keys = self.hashes if self.groups is None else self.groups
        # Not the bits that split off the test part: of those only high values remain here.
        positions = (keys[train] & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2**32
        held_out = parts.held_out(positions, self.labels[train], share)
        return train[~held_out], train[held_out]

    def review(self, index: int) -> NDArray[np.int32]:
        """Token ids of one review."""
        # Not of the type that NumPy gives mapped files, whose slices take several times as long.
        return np.asarray(self.tokens)[self.offsets[index] : self.offsets[index + 1]]

    def section(self, first: int, last: int) -> "Corpus":
        """The reviews from `first` to before `last` alone, with the same vocabulary."""
        inside = slice(first, last)
        offsets = self.offsets[first : last + 1]
        origin = self.origin
        return replace(
            self,
            origin=(origin[0], origin[1] + first, origin[1] + last) if origin else None,
            tokens=self.tokens[offsets[0] : offsets[-1]],
            offsets=offsets - offsets[0],
            labels=self.labels[inside],
            parts=self.parts[inside],
            hashes=self.hashes[inside],
            rows=self.rows[inside],
            groups=None if self.groups is None else self.groups[inside],
        )

    def text(self, index: int) -> str:
        """The words of one review that are in the vocabulary, joined by spaces: what the networks see of it."""
        ids = self.review(index)
        return " ".join(self.words[number - FIRST_WORD_ID] for number in ids[ids >= FIRST_WORD_ID].tolist())

    def release(self) -> None:
        """Releases the mapped pages that were read, so that memory does not grow to the size of the file."""
        release(self.tokens)


def release(array: NDArray[Any]) -> None:
    """Releases the pages of a mapped array that were read.

    They stay in the system's cache, from which reading them again costs no more than a page fault.
    """
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)


@functools.lru_cache(maxsize=16)
def mapped(folder: Path, first: int, last: int) -> Corpus:
    """The reviews from `first` to before `last` of what `load` encoded in a folder; the same object each time."""
    whole = _map(folder)
    return whole if (first, last) == (0, len(whole.labels)) else whole.section(first, last)


def load(source: DataSource, for_scoring: bool = False, spare: Path | None = None) -> Corpus:
    """Encodes a source, or maps what an earlier run encoded.

    Args:
        for_scoring: As in `encode`.
        spare: The folder that takes encoded data where the cache cannot be written, for as long as they are used; by
            default they are in no folder, and no other process can map them.

    Raises:
        DataError, MissingInputError, TemporaryError: As in `open_source` and `encode`.
    """
    try:
        return _map(_fill(source, for_scoring))
    except OutputError as error:
        # A cache that cannot be written is no reason not to train: it only saves time.
        log.warning(f"{error}; the data are encoded for this run only")
    try:
        if spare is not None:
            encode(open_source(source), spare / "corpus", for_scoring)
            return _map(spare / "corpus")
        with tempfile.TemporaryDirectory(prefix="sentiment-job-") as temporary:
            made = Path(temporary, "corpus")
            encode(open_source(source), made, for_scoring)
            # What is mapped stays there for this process, though the files go.
            return replace(_map(made), origin=None)
    except OSError as error:
        raise InputOutputError(
            f"writing encoded data among the temporary files failed ({error.strerror or error}); name a writable folder with --cache"
        ) from None


def fill(source: DataSource) -> Path:
    """Makes sure that a source lies encoded in the cache, fetched first where need be; returns the folder where it lies.

    Raises:
        OutputError: The cache cannot be written.
        DataError, MissingInputError, TemporaryError: As in `load`.
    """
    return _fill(source, False)


def _fill(source: DataSource, for_scoring: bool) -> Path:
    opened = open_source(source)
    # By content and never by time and size, which rsync, archives and images keep while the content changes.
    content = [(str(file), _hash(file)) for file in opened.files]
    settings = {name: value for name, value in asdict(source).items() if name not in ("name", "cache", "keeps_html")}
    # Settings that came later: what was encoded before is still found, where it would be the same.
    if source.unlabelled is None:
        del settings["unlabelled"]
    if opened.takes_out_html:
        settings["takes_out_html"] = True
    identity = [_VERSION, for_scoring, opened.name, settings, content]
    key = hashlib.sha256(json.dumps(identity).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    folder = source.cache / "encoded" / key
    if _damage(folder) is None:
        return folder
    with staging_folder(source.cache, key) as staging:
        # Once more: the process that was waited for may have made it.
        damage = _damage(folder)
        if damage is None:
            return folder
        if folder.exists():
            log.warning(f"{damage}; encoding anew")
            shutil.rmtree(folder, ignore_errors=True)
        made = staging / "corpus"
        try:
            encode(opened, made, for_scoring)
            folder.parent.mkdir(exist_ok=True)
            os.replace(made, folder)
        except OSError as error:
            # Another job may have been faster; its arrays are the same ones.
            if _damage(folder):
                raise InputOutputError(
                    f"{folder.parent}: writing encoded data failed ({error.strerror or error}); free some space or name another folder with --cache"
                ) from None
    return folder


def _hash(file: Path) -> str | None:
    with reading(file):
        try:
            return checksum.of_file(file)
        except FileNotFoundError:
            # Whoever reads it can say what it is needed for.
            return None


def _damage(folder: Path) -> str | None:
    """What is wrong with encoded data; None where they are there and whole."""
    try:
        _map(folder)
    except DataError as error:
        return str(error)
    return None


def _map(folder: Path) -> Corpus:
    """Maps what `encode` wrote.

    Raises:
        DataError: It is damaged.
    """
    try:
        require_files(folder)
        record = json.loads((folder / "corpus.json").read_text("utf-8"))
        record["reading"] = Reading.model_validate(record["reading"])
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r" if name == "tokens" else None, allow_pickle=False)
            for name in (*ARRAYS, "rows")
        }
        groups = np.load(folder / "groups.npy", allow_pickle=False) if (folder / "groups.npy").exists() else None
        ids = json.loads((folder / "ids.json").read_text("utf-8")) if (folder / "ids.json").exists() else None
        words = json.loads((folder / "vocabulary.json").read_text("utf-8"))
        origin = (folder, 0, len(arrays["labels"]))
        corpus = Corpus(words=words, groups=groups, ids=ids, origin=origin, **arrays, **record)
        lengths = {len(arrays[name]) for name in ("labels", "parts", "hashes", "rows")}
        if corpus.offsets[-1] != len(corpus.tokens) or {len(corpus.offsets) - 1} != lengths:
            raise ValueError("its arrays do not belong together")
        return corpus
    except (OSError, EOFError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise DataError(f"{folder}: this encoded data set is damaged ({error})") from None
