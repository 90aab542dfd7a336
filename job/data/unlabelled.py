"""Texts without labels, of --unlabelled: what a path holds, and a source that has them after its labelled reviews."""

import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from job.data import parts, sheets
from job.data.folders import FolderReader, Layout, TarReader, is_hidden
from job.data.numbered import NO_LABEL, UNLABELLED_DATA, Meaning, Numbered, Source
from job.data.parts import LEFT_OUT, UNSAID
from job.data.readers import LABEL_COLUMNS, TEXT_COLUMNS, TableReader, known_columns, tables_in
from job.data.rows import Reader
from job.data.sheet import KINDS, Sheet, kind, reading
from job.data.tokens import Writing
from job.errors import DataError
from job.files.reading import explained
from job.source import DataSource

FORMATS = f"texts without labels: {', '.join(KINDS[:-1])} (also packed as .gz or .zst), a .txt of one text a line or of fastText's, a folder of such tables, or a folder or .tar.gz of .txt files"
# Of folders called so the texts are taken alone: aclImdb's labelled ones lie beside them.
_UNSUP = {name for name, part in parts.NAMES.items() if part == LEFT_OUT}
_LABELLED = re.compile(r"(?:^|/)(?:neg|pos|negative|positive)/", re.IGNORECASE)
_ADDRESSES = re.compile(r"(?:^|/)urls_(?:neg|pos|unsup)\.txt$")

_SHOWN = 3


def open_texts(path: Path, source: DataSource) -> Reader:
    """What reads the texts of a path. Labels that stand there are not read: each row's is None.

    Raises:
        MissingInputError: No such path, or it may not be read.
        DataError: It holds nothing that is read here.
    """
    with explained(path, FORMATS):
        is_folder = stat.S_ISDIR(path.stat().st_mode)
        if not is_folder and path.name.lower().endswith((".tar.gz", ".tgz")):
            return TarReader(path, source.encoding, TextsLayout)
        if not is_folder and kind(path) is None:
            raise DataError(f"{path}: a file of this kind is not read here; expected {FORMATS}")
        if not is_folder:
            return _Tables(path, [(path, UNSAID)], source)
        files = FolderReader(path, source.encoding, TextsLayout)
        tables = [] if TextsLayout(files.names()).is_of_unsup else tables_in(path)
    return _Tables(path, tables, source) if tables else files


class TextsLayout(Layout):
    """Every .txt file is a text; where folders are called unsup, those in them alone."""

    expected = "texts without labels; expected .txt files, one text each, in folders called unsup where there are such"

    def __init__(self, names: list[str]) -> None:
        texts: list[str] = []
        self.addresses = []
        self.passed_over = Counter()
        for name in names:
            if is_hidden(name):
                self.passed_over["hidden files, such as macOS adds"] += 1
            elif _ADDRESSES.search(name):
                self.passed_over["lists of addresses"] += 1
            elif name.lower().endswith(".txt"):
                texts.append(name)
            else:
                self.passed_over[f"{PurePosixPath(name).suffix or PurePosixPath(name).name} files"] += 1
        unsup = [name for name in texts if _is_of_unsup(name)]
        self.is_of_unsup = bool(unsup)
        """Whether there are folders called unsup with texts in them."""
        self._beside = len(texts) - len(unsup)
        self.reviews = dict.fromkeys(unsup or texts, (UNSAID, ""))

    @staticmethod
    def is_read(name: str) -> bool:
        return name.lower().endswith(".txt")

    def decisions(self, where: str) -> Iterator[str]:
        if self.is_of_unsup:
            others = f", and not the {self._beside} others" if self._beside else ""
            yield f"of {where} the {len(self.reviews)} texts in folders called unsup are taken{others}"
        elif any(map(_LABELLED.search, self.reviews)):
            yield f"the texts of {where} are taken without the labels that folders called pos and neg speak of"


def _is_of_unsup(name: str) -> bool:
    return any(folder.lower() in _UNSUP for folder in PurePosixPath(name).parts[:-1])


class _Tables(TableReader):
    """Tables of which the text's column alone is read. Where some are called unsupervised or the like, these alone."""

    def __init__(self, path: Path, tables: list[tuple[Path, int]], source: DataSource) -> None:
        every = [table for table, _ in tables]
        unsup = [table for table, part in tables if part == LEFT_OUT]
        super().__init__(path, [(table, UNSAID) for table in unsup or every], source)
        self._known = {*every}
        if unsup and len(unsup) < len(every):
            shown = ", ".join(table.name for table in unsup[:_SHOWN]) + (" and others" if len(unsup) > _SHOWN else "")
            self.notices.append(
                f"of {path.name} the texts in {shown} are taken, and not those of the {len(every) - len(unsup)} other tables"
            )

    def _open(self, path: Path) -> Sheet:
        encoding = self._source.encoding
        if kind(path) != ".txt" or sheets.is_fasttext(path, encoding):
            return super()._open(path)
        self.notices.append(f"{path.name} is read as one text a line")
        with reading(path):
            return sheets.LinesSheet(path, encoding, self._source.header)

    def _choose(self, sheet: Sheet) -> dict[str, str]:
        asked = self._source.columns
        # What has no names of columns cannot have the one that was asked for.
        named = None if kind(sheet.path) == ".txt" else asked.text
        chosen = {"text": self._find(sheet, named, TEXT_COLUMNS, "text")}
        labels = known_columns(sheet.columns, LABEL_COLUMNS) if asked.label is None else [asked.label]
        found = [column for column in labels if column in sheet.columns and column != chosen["text"]]
        if found:
            self.notices.append(
                f"the column {found[0]!r} of {sheet.path.name} is not read: these texts are taken without labels"
            )
        self.columns = chosen
        return chosen


class WithUnlabelled(Source):
    """A source's labelled reviews, and after them texts without labels, whose words are in its vocabulary or unknown.

    Args:
        labelled: Its words, numbers and labels are what they are without the texts.
        texts: What reads them.
    """

    def __init__(self, labelled: Source, texts: Reader) -> None:
        super().__init__(labelled.name, [*labelled.files, *texts.files()])
        self.shown = labelled.shown
        self._labelled, self._texts, self.takes_out_html = labelled, texts, labelled.takes_out_html
        self._writing = Writing(str(texts.path))

    def reviews(self) -> Iterator[Numbered]:
        yield from self._labelled.reviews()
        for row in self._texts.rows():
            self._writing.add(row.text, self.plain(row.text))
            numbers, found = self.number(row.text)
            yield Numbered(numbers, NO_LABEL, found, row.number, origin=UNLABELLED_DATA)

    def texts(self) -> Iterator[tuple[int, str]]:
        return self._labelled.texts()

    def resolve(self, needs_both: bool) -> Meaning:
        found = self._labelled.resolve(needs_both)
        return replace(
            found,
            notices=[*found.notices, *self._writing.notices(), *self._texts.notices],
            warnings=[*found.warnings, *self._writing.warnings(), *self._texts.warnings],
        )

    def number(self, text: str) -> tuple[list[int], int]:
        return self._labelled.number(text)

    def vocabulary(self, counts: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
        return self._labelled.vocabulary(counts)
