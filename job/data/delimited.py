"""Tables of lines with separators: .csv and .tsv, quoted or not."""

import csv
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cached_property

from job.data.sheet import MAX_TEXT, Cells, Sheet, kind
from job.errors import DataError

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_OTHER_SEPARATORS = ",;\t|"
# More are a mistake, or made to fill a memory.
_MAX_COLUMNS = 100_000
_SNIFFED = 10_000


class CsvSheet(Sheet):
    """Lines of cells, quoted where need be (RFC 4180), or not quoted at all, as many .tsv files are."""

    def _columns(self) -> list[str]:
        csv.field_size_limit(MAX_TEXT)
        lines = self._lines()
        first = next((line for line in lines if line.strip("\r\n")), "")
        lines.close()  # type: ignore[attr-defined]
        if max(map(first.count, _OTHER_SEPARATORS)) >= _MAX_COLUMNS:
            raise DataError(f"{self.path}: its first line has more than {_MAX_COLUMNS} columns; expected a text and a label")
        self._separator = self._find_separator(first)
        cells = self._cells_of(first) if first else []
        if not self.header:
            return [str(number) for number in range(1, len(cells) + 1)]
        names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)]
        name, count = Counter(names).most_common(1)[0] if names else ("", 0)
        if count > 1:
            raise DataError(f"{self.path}: has two columns called {name!r}; give each a name of its own")
        return names

    def _about_header(self) -> str:
        return "; if its first line is a row, --no-header, too: columns are then called 1, 2, …" if self.header else ""

    def _find_separator(self, first: str) -> str:
        usual = _SEPARATORS[kind(self.path) or ".csv"]
        self._separator = usual
        if usual not in first or len(self._cells_of(first)) < 2:
            try:
                # As much of it as column names need: its patterns take long on a long line.
                found = csv.Sniffer().sniff(first[:_SNIFFED], delimiters=_OTHER_SEPARATORS.replace(usual, "")).delimiter
            except csv.Error:
                return usual
            if found in _OTHER_SEPARATORS:
                shown = "a tab" if found == "\t" else repr(found)
                self._notice(f"{self.path.name} is separated by {shown}, as its first line shows")
                return found
        return usual

    def _cells_of(self, line: str) -> list[str]:
        """One line's cells, if it is a row by itself; else split at every separator."""
        try:
            return next(csv.reader([line], delimiter=self._separator, strict=True))
        except csv.Error:
            return self._split(line)

    def _split(self, line: str) -> list[str]:
        """Cells of a line in which a quote is a character like others, or surrounds a whole cell."""
        cells = line.rstrip("\r\n").split(self._separator)
        return [
            cell[1:-1].replace('""', '"')
            if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")
            else cell
            for cell in cells
        ]

    @cached_property
    def _is_unquoted(self) -> bool:
        """Whether every line is a row by itself and quotes that nothing closes stand in some: then quotes mean nothing here."""
        is_unclosed = False
        for line in self._lines():
            if not line.strip("\r\n"):
                continue
            if line.count(self._separator) != len(self.columns) - 1:
                return False
            if '"' in line and not is_unclosed:
                try:
                    # Without its end: an open quote would go on over it.
                    cells = next(csv.reader([line.rstrip("\r\n")], delimiter=self._separator, strict=True))
                    is_unclosed = len(cells) != len(self.columns)
                except csv.Error:
                    is_unclosed = True
        return is_unclosed

    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[int, Cells]]:
        rows = self._unquoted() if self._is_unquoted else self._quoted()
        if self.header:
            next(rows, None)
        for number, cells in enumerate(rows, 1):
            if len(cells) != len(self.columns):
                raise DataError(
                    f"{self.path}, row {number}: {len(cells)} cells where {'the header' if self.header else 'the first row'} has {len(self.columns)}; quote texts that hold the separator"
                )
            # Line ends inside a text are the text's, whatever system the file is from.
            yield number, dict(zip(self.columns, (cell.replace("\r\n", "\n") for cell in cells), strict=True))

    def _unquoted(self) -> Iterator[list[str]]:
        self._warn(
            f"quotes in {self.path.name} are read as plain characters: every line is a row by itself, and some quotes are never closed"
        )
        return (self._split(line) for line in self._lines() if line.strip("\r\n"))

    def _quoted(self) -> Iterator[list[str]]:
        # Of each line since the last row's end: whether it could be a row by itself.
        could_be: list[bool] = []
        row = swallowing = first = 0

        def remembered() -> Iterator[str]:
            for line in self._lines():
                could_be.append(line.count(self._separator) == len(self.columns) - 1)
                yield line

        try:
            for cells in csv.reader(remembered(), delimiter=self._separator, strict=True):
                if cells:
                    if len(could_be) > 1 and all(could_be):
                        swallowing, first = swallowing + 1, first or row + (not self.header)
                    yield cells
                    row += 1
                could_be.clear()
        except csv.Error as error:
            raise DataError(
                f"{self.path}, after row {row - self.header}: not valid {(kind(self.path) or '')[1:]} ({error})"
            ) from None
        if swallowing:
            self._warn(
                f"{swallowing} rows of {self.path.name} hold line breaks between quotes, and each of those lines could be a row by itself (the first is row {first}): if rows are missing, quotes inside texts are not doubled"
            )
