"""Sources: what a name or a path stands for, opened and not yet read."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from job.config import DataSource
from job.data import imdb, readers, synthetic
from job.data.labels import LabelReader
from job.data.tokens import FIRST_WORD_ID, content_hash, tokenize
from job.errors import DataError
from job.files import checksum
from job.presets import UNKNOWN


class Numbered(NamedTuple):
    """One review with its words numbered as they came; what the numbers and the label mean is known at the end."""

    numbers: list[int] | NDArray[np.int64]
    """Of each word, from 0."""
    label: int
    """A code for what stands in the source."""
    part: str | None
    """`train`, `test`, or None where the source has no parts of its own."""
    hash: int
    """Of the text's words."""


class Meaning(NamedTuple):
    """What the numbers and label codes of all reviews mean."""

    words: list[str]
    """The vocabulary by rank."""
    ids: NDArray[np.int64]
    """<int64>[numbers], the token id of each word number."""
    classes: list[int]
    """The class, 0 or 1, of each label code."""


class Source(ABC):
    """Labelled reviews to be encoded. It is read once.

    Args:
        name: The name of the corpus.
        path: The path of the file or folder, where there is one.
    """

    def __init__(self, name: str, path: Path | None) -> None:
        self.name, self.path = name, path

    @property
    def shown(self) -> str:
        """The source's name in errors."""
        return str(self.path or self.name)

    @abstractmethod
    def reviews(self) -> Iterator[Numbered]:
        """Yields the reviews in the order of the source, one at a time.

        Raises:
            DataError, MissingInputError: The source cannot be read.
        """

    @abstractmethod
    def resolve(self, counts: NDArray[np.int64]) -> Meaning:
        """What the numbers of all reviews mean, asked for when they have been read.

        Args:
            counts: <int64>[numbers], how often each word number occurs in the reviews that the vocabulary is made of.

        Raises:
            DataError: The labels are of no known form, or all the same.
        """


class Ranks(Source):
    """An .npz of word ranks with its word index. The ranks are given and stay, so the vocabulary is the file's."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, path)
        self._path = path
        self._words: list[str] = []

    def reviews(self) -> Iterator[Numbered]:
        self._words = imdb.read_word_index(self._path.with_name(imdb.WORD_INDEX))
        table = np.array(self._words, dtype=object)
        for ranks, label, part, _ in imdb.read_reviews(self._path, len(self._words)):
            yield Numbered(ranks - 1, label, part, content_hash(table[ranks - 1].tolist()))

    def resolve(self, counts: NDArray[np.int64]) -> Meaning:
        return Meaning(self._words, np.arange(FIRST_WORD_ID, len(self._words) + FIRST_WORD_ID), [0, 1])


class _Index(dict[str, int]):
    """Numbers words as they come."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


class Texts(Source):
    """Labelled texts. The vocabulary is ranked by frequency, words of equal frequency alphabetically."""

    def __init__(self, name: str, path: Path | None, rows: Iterable[readers.Row]) -> None:
        super().__init__(name, path)
        self._rows = rows
        self._index = _Index()
        self._labels = LabelReader(self.shown)

    def reviews(self) -> Iterator[Numbered]:
        index = self._index
        for row in self._rows:
            words = tokenize(row.text)
            yield Numbered(
                [index[word] for word in words], self._labels.add(row.label, row.number), row.part, content_hash(words)
            )

    def resolve(self, counts: NDArray[np.int64]) -> Meaning:
        words = list(self._index)
        counts = np.pad(counts, (0, len(words) - len(counts)))
        seen = [number for number in range(len(words)) if counts[number]]
        seen.sort(key=lambda number: (-counts[number], words[number]))
        ids = np.full(len(words), UNKNOWN, dtype=np.int64)
        ids[seen] = np.arange(FIRST_WORD_ID, len(seen) + FIRST_WORD_ID)
        return Meaning([words[number] for number in seen], ids, self._labels.resolve())


def open_source(source: DataSource) -> Source:
    """Finds what a name or path stands for, and fetches it first where need be.

    Raises:
        MissingInputError: No such file, folder or column.
        DataError: A file of an unknown kind, or columns named where there are none.
        TemporaryError, OutputError, InputOutputError: It could not be fetched.
    """
    if source.name == "embedded":
        plural = "s" if len(source.distances) > 1 else ""
        return Texts(f"embedded, distance{plural} {' '.join(map(str, source.distances))}", None, _generated(source.distances))
    path = imdb.fetch(source.cache) if source.name == "imdb" else Path(source.name)
    if path.suffix.lower() == ".npz":
        if source.text_column or source.label_column:
            raise DataError(f"{path}: an .npz has no columns; leave --text-column and --label-column out")
        if path.exists():
            return Ranks("imdb" if source.name == "imdb" else path.name, path)
    rows = readers.open_rows(path, source.text_column, source.label_column)
    return Texts(path.name or str(path.resolve().name), path, rows)


def _generated(distances: Iterable[int]) -> Iterator[readers.Row]:
    for distance in distances:
        for number, (text, label, part) in enumerate(synthetic.reviews(distance), 1):
            yield readers.Row(text, label, number, part)


def stamp(source: DataSource, path: Path | None) -> list[object]:
    """JSON values that change when the source does, found without reading it.

    Args:
        path: The path of the opened source.
    """
    if path is None:
        # The generator's own code: cached reviews must not outlive a change of the program.
        return [source.distances, checksum.of_file(Path(synthetic.__file__))]
    files = [path]
    if path.is_dir():
        files = sorted(path.rglob("*.txt"))
    elif path.suffix.lower() == ".npz":
        files = [path, path.with_name(imdb.WORD_INDEX)]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    digest = hashlib.sha256(json.dumps(stats).encode()).hexdigest()
    return [str(path.resolve()), source.text_column, source.label_column, digest]
