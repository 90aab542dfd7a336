"""Sources: what a name or a path stands for, opened and not yet read."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from job.data import imdb, pipes, readers, synthetic
from job.data.labels import LabelMeaning, LabelReader
from job.data.numbered import MAIN, TEST_DATA, VALIDATION_DATA, Meaning, Numbered, Source
from job.data.parts import UNSAID, PartReader
from job.data.rows import Reader, Row
from job.data.tokens import FIRST_WORD_ID, Writing, content_hash, hash_of, tokenize
from job.data.unlabelled import WithUnlabelled, open_texts
from job.errors import DataError
from job.files.reading import explained
from job.presets import UNKNOWN
from job.source import DataSource, said_of_labelled_files

_ZERO_AND_ONE = "0 and 1"


class Ranks(Source):
    """An .npz of word ranks with its word index. The ranks are given and stay, so the vocabulary is the file's."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, [path, path.with_name(imdb.WORD_INDEX)])
        self._path = path
        self.shown = str(path)
        self._words: list[str] = []
        self._rows = [0, 0]
        self._warnings: list[str] = []

    def reviews(self) -> Iterator[Numbered]:
        self._words = imdb.read_word_index(self._path.with_name(imdb.WORD_INDEX))
        # Beyond the words the unknown one, which numbers that Keras's `load_data` shifted may hold.
        table = np.array([*self._words, "<UNK>"], dtype=object)
        for review in imdb.read_reviews(self._path, len(self._words), self._warnings):
            numbers = review.ranks - 1
            self._rows[review.label] += 1
            yield Numbered(numbers, review.label, content_hash(table[numbers].tolist()), review.row, review.part)

    def number(self, text: str) -> tuple[list[int], int]:
        # Who made the file split texts by Keras's rules and dropped the words that the index has not: so it is known again.
        words = [word for word in imdb.split(text) if word in self._index]
        return [self._index.get(word, len(self._words)) for word in tokenize(text)], content_hash(words)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self._words)}

    def resolve(self, needs_both: bool) -> Meaning:
        labels = [LabelMeaning(label=str(side), meaning=side, rows=rows) for side, rows in enumerate(self._rows)]
        return Meaning(labels=labels, rule=_ZERO_AND_ONE, parts=[], warnings=self._warnings)

    def vocabulary(self, counts: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
        return self._words, np.append(np.arange(FIRST_WORD_ID, len(self._words) + FIRST_WORD_ID), UNKNOWN)


class _Index(dict[str, int]):
    """Numbers words as they come."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


class Texts(Source):
    """Labelled texts. The vocabulary is ranked by frequency, words of equal frequency alphabetically."""

    takes_out_html = True

    def __init__(self, name: str, labels: LabelReader, files: list[Path]) -> None:
        super().__init__(name, files)
        self._index = _Index()
        self._labels = labels
        self._splits = PartReader(self.shown)
        self._writing = Writing(self.shown)

    @abstractmethod
    def _rows(self) -> Iterator[tuple[int, Row]]:
        """The rows, each with the path that it is from."""

    def reviews(self) -> Iterator[Numbered]:
        index = self._index
        for origin, row in self._rows():
            plain = self.plain(row.text)
            self._writing.add(row.text, plain)
            words = tokenize(plain)
            yield Numbered(
                numbers=[index[word] for word in words],
                label=self._labels.add(row.label, row.number),
                hash=content_hash(words),
                row=row.number,
                part=row.part,
                split=-1 if row.split is None else self._splits.add(row.split),
                origin=origin,
                group=None if row.group is None else hash_of(row.group),
                id=row.id,
            )

    def texts(self) -> Iterator[tuple[int, str]]:
        for _, row in self._rows():
            yield row.number, row.text

    def resolve(self, needs_both: bool) -> Meaning:
        warnings = self._writing.warnings()
        labels, rule = self._labels.resolve(needs_both)
        return Meaning(labels=labels, rule=rule, parts=[], notices=self._writing.notices(), warnings=warnings)

    def number(self, text: str) -> tuple[list[int], int]:
        words = tokenize(self.plain(text))
        return [self._index.get(word, len(self._index)) for word in words], content_hash(words)

    def vocabulary(self, counts: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
        words = list(self._index)
        counts = np.pad(counts, (0, len(words) - len(counts)))
        seen = [number for number in range(len(words)) if counts[number]]
        seen.sort(key=lambda number: (-counts[number], words[number]))
        ids = np.full(len(words) + 1, UNKNOWN, dtype=np.int64)
        ids[seen] = np.arange(FIRST_WORD_ID, len(seen) + FIRST_WORD_ID)
        return [words[number] for number in seen], ids


class Generated(Texts):
    """The embedded corpus, of one distance or several."""

    is_generated = True

    def __init__(self, distances: Iterable[int]) -> None:
        self._distances = tuple(distances)
        plural = "s" if len(self._distances) > 1 else ""
        self.shown = f"embedded, distance{plural} {' '.join(map(str, self._distances))}"
        # The generator's own code: cached reviews must not outlive a change of the program.
        super().__init__(self.shown, LabelReader(self.shown), [Path(synthetic.__file__)])

    def _rows(self) -> Iterator[tuple[int, Row]]:
        for distance in self._distances:
            for number, (text, label, part) in enumerate(synthetic.reviews(distance), 1):
                yield MAIN, Row(text, label, number, part)


class Files(Texts):
    """Texts of the user's own: what `readers` read.

    Args:
        opened: By where they are from: the main path's first.
    """

    def __init__(self, source: DataSource, path: Path, opened: dict[int, Reader]) -> None:
        self.shown = str(path)
        self._opened, self.takes_out_html = opened, not source.keeps_html
        files = [file for reader in opened.values() for file in reader.files()]
        super().__init__(path.name or path.resolve().name, LabelReader(self.shown, source.positive, source.negative), files)

    def _rows(self) -> Iterator[tuple[int, Row]]:
        for origin, reader in self._opened.items():
            for row in reader.rows():
                yield origin, row

    def resolve(self, needs_both: bool) -> Meaning:
        found = super().resolve(needs_both)
        parts: list[int] = []
        warnings = found.warnings
        columns = dict(self._opened[MAIN].columns)
        split = next((reader.columns["split"] for reader in self._opened.values() if "split" in reader.columns), None)
        if split is not None:
            parts, said = self._splits.resolve(split, self._opened[MAIN].is_split_asked_for)
            warnings += [said] if said else []
        notices = found.notices + [text for reader in self._opened.values() for text in reader.notices]
        warnings += [text for reader in self._opened.values() for text in reader.warnings]
        if all(part == UNSAID for part in parts):
            columns.pop("split", None)
        return Meaning(labels=found.labels, rule=found.rule, parts=parts, columns=columns, notices=notices, warnings=warnings)


def open_source(source: DataSource) -> Source:
    """Finds what a name or path stands for, and fetches it first where need be.

    Raises:
        MissingInputError: No such file, folder or column.
        DataError: A file of an unknown kind, or columns named where there are none.
        TemporaryError, OutputError, InputOutputError: It could not be fetched.
    """
    if source.name == "embedded":
        return Generated(source.distances)
    source = pipes.kept(source)
    texts = open_texts(Path(source.unlabelled), source) if source.unlabelled else None
    labelled = _open_labelled(source)
    return WithUnlabelled(labelled, texts) if texts else labelled


def _open_labelled(source: DataSource) -> Source:
    path = imdb.fetch(source.cache) if source.name == "imdb" else Path(source.name)
    others = {TEST_DATA: source.test, VALIDATION_DATA: source.validation}
    if path.suffix.lower() == ".npz":
        _refuse_settings(source, path)
        return Ranks("imdb" if source.name == "imdb" else path.name, path)
    opened = {MAIN: readers.open_reader(path, source)}
    opened |= {origin: readers.open_reader(Path(other), source, is_beside=True) for origin, other in others.items() if other}
    return Files(source, path, opened)


def _refuse_settings(source: DataSource, path: Path) -> None:
    """Makes sure that nothing is said of an .npz that it has not, and that it is there."""
    given = said_of_labelled_files(source)
    if given:
        raise DataError(f"{path}: an .npz has its own parts, and no columns or label names; leave {' and '.join(given)} out")
    with explained(path, "an .npz that this user may read"):
        path.stat()
