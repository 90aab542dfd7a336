"""Tables of named columns, row by row: .csv, .tsv, .jsonl, .json, .parquet and fastText's .txt, plain or packed (.gz, .zst).

Nothing here knows what a column means. Every row of a file is yielded or an error is raised; what had to be decided on the
way stands in `Sheet.notices` (a separator, an encoding) and `Sheet.warnings` (what a quote is).
"""

import codecs
import csv
import gzip
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from job.data import decoding
from job.errors import DataError, InputOutputError, MissingInputError

if TYPE_CHECKING:
    import pyarrow

KINDS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt")
"""The endings of tables; those of text may be followed by one of `PACKED`."""
PACKED = (".gz", ".zst")
MAX_TEXT = 16 << 20
"""Characters of a cell at most."""
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_OTHER_SEPARATORS = ",;\t|"
_BLOCK = 1 << 16
_FASTTEXT = "__label__"

Cells = dict[str, Any]
"""A row's values by column: texts in .csv, .tsv and .txt, JSON values in .jsonl and .json, Python values in .parquet."""


def kind(path: Path) -> str | None:
    """The ending of a table's name, without that of its packing; None where it is no table's."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in KINDS else None


def open_sheet(path: Path, encoding: str | None = None, header: bool = True) -> "Sheet":
    """Opens a table and reads its header.

    Args:
        encoding: Of a table of text, by Python's name; by default what a byte-order mark says, else UTF-8.
        header: Whether the first line of a .csv or .tsv names the columns; else they are called `1`, `2`, ….

    Raises:
        MissingInputError: No such file.
        DataError: The content is not of the format that the name says.
        ConfigurationError: No such encoding.
        InputOutputError: Reading failed.
    """
    readers: dict[str, Callable[[Path, str | None, bool], Sheet]] = {
        ".csv": CsvSheet,
        ".tsv": CsvSheet,
        ".jsonl": JsonLinesSheet,
        ".json": JsonSheet,
        ".parquet": ParquetSheet,
        ".txt": FastTextSheet,
    }
    reader = readers.get(kind(path) or "")
    if reader is None:
        raise DataError(f"{path}: not a table; expected a name that ends in {', '.join(KINDS)} (or .gz, .zst after it)")
    with reading(path):
        return reader(path, decoding.checked(encoding), header)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what can go wrong while a file is read into the errors of the contract."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise MissingInputError(f"{path}: no such file") from None
    except PermissionError:
        raise MissingInputError(f"{path}: may not be read by this user") from None
    except IsADirectoryError:
        raise MissingInputError(f"{path}: is a folder; expected a file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: holds a text that is not {error.encoding} ({error.reason})") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: is cut off or damaged ({error}); fetch it again") from None
    except OSError as error:
        # Libraries report damaged content as a plain OSError without a number.
        if error.errno is None:
            raise DataError(f"{path}: cannot be read, its content is damaged ({_line(error)})") from None
        raise InputOutputError(f"{path}: reading failed ({error.strerror})") from None


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200]


class Sheet(ABC):
    """A table that can be read row by row, as often as one likes.

    Args:
        path, encoding, header: As `open_sheet` takes them.
    """

    columns: list[str]
    """In order. Rows of JSON may have more than the first one's, which these are, or fewer."""

    def __init__(self, path: Path, encoding: str | None, header: bool) -> None:
        self.path, self._encoding, self._header = path, encoding, header
        self.notices: list[str] = []
        """What was decided in reading, a sentence each; complete once all rows have been read, as are the warnings."""
        self.warnings: list[str] = []
        """What may be misread, a sentence each."""
        self.columns = self._columns()
        if not self.columns:
            raise DataError(f"{path}: is empty; expected rows of named columns")

    @abstractmethod
    def _columns(self) -> list[str]: ...

    @abstractmethod
    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[int, Cells]]: ...

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Cells]]:
        """Yields each row's number, from 1, and its values.

        Args:
            columns: Those that are needed; by default all.

        Raises:
            DataError: A row is not as the format demands, or there is none.
            MissingInputError, InputOutputError: The file cannot be read any more.
        """
        number = 0
        with reading(self.path):
            for number, cells in self._rows(columns):
                yield number, cells
        if not number:
            raise DataError(f"{self.path}: has columns but no rows")

    @property
    def schema(self) -> "pyarrow.Schema | None":
        """The columns' types, of a .parquet file alone."""
        return None

    def class_names(self, column: str) -> list[str] | None:
        """What the numbers of a column stand for, where the file says so itself."""
        return None

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _lines(self) -> Iterator[str]:
        """The file's lines as text, with their ends, without a byte-order mark."""
        with _unpacked(self.path) as stream:
            encoding, mark = self._find_encoding(stream)
            if encoding.replace("_", "-").lower().startswith(("utf-16", "utf-32")):
                yield from self._wide_lines(stream, encoding, mark)
                return
            for number, line in enumerate(stream, 1):
                if number == 1:
                    line = line.removeprefix(mark)
                if b"\0" in line:
                    raise DataError(
                        f"{self.path}, line {number}: holds a zero byte, so this is no text file, or UTF-16 without a byte-order mark; save it as UTF-8, or name its encoding with --encoding"
                    )
                try:
                    yield line.decode(encoding)
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{self.path}, line {number}: byte 0x{line[error.start]:02x} is not {encoding.upper()}; save the file as UTF-8, or name its encoding (--encoding cp1252 or latin-1 for most old files in Western languages)"
                    ) from None

    def _find_encoding(self, stream: Any) -> tuple[str, bytes]:
        """The encoding, and the byte-order mark that the file begins with."""
        encoding, mark = decoding.of_mark(stream.peek(4)[:4], self._encoding)
        if encoding.startswith(("utf-16", "utf-32")) and mark:
            self._notice(f"{self.path.name} is read as {encoding.upper()}, as its byte-order mark says")
        return encoding, mark

    def _wide_lines(self, stream: IO[bytes], encoding: str, mark: bytes) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(encoding)()
        stream.read(len(mark))
        rest, block = "", stream.read(_BLOCK)
        while block:
            *whole, rest = (rest + decoder.decode(block)).split("\n")
            yield from (line + "\n" for line in whole)
            block = stream.read(_BLOCK)
        rest += decoder.decode(b"", final=True)
        if rest:
            yield rest


@contextmanager
def _unpacked(path: Path) -> Iterator[Any]:
    """The bytes of a file, unpacked where its ending says that it is packed."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        with gzip.open(path) as stream:
            yield stream
    elif suffix == ".zst":
        import io

        import pyarrow

        with (
            path.open("rb") as file,
            pyarrow.CompressedInputStream(file, "zstd") as packed,
            io.BufferedReader(packed) as stream,
        ):
            yield stream
    else:
        with path.open("rb") as stream:
            yield stream


class CsvSheet(Sheet):
    """Lines of cells, quoted where need be (RFC 4180), or not quoted at all, as many .tsv files are."""

    def _columns(self) -> list[str]:
        lines = self._lines()
        first = next((line for line in lines if line.strip()), "")
        lines.close()  # type: ignore[attr-defined]
        self._separator = self._find_separator(first)
        cells = self._cells_of(first) if first else []
        if not self._header:
            return [str(number) for number in range(1, len(cells) + 1)]
        names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)]
        for name in names:
            if names.count(name) > 1:
                raise DataError(f"{self.path}: has two columns called {name!r}; give each a name of its own")
        return names

    def _find_separator(self, first: str) -> str:
        usual = _SEPARATORS[kind(self.path) or ".csv"]
        self._separator = usual
        if len(self._cells_of(first)) < 2:
            try:
                found = csv.Sniffer().sniff(first, delimiters=_OTHER_SEPARATORS.replace(usual, "")).delimiter
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
            if not line.strip():
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
        csv.field_size_limit(MAX_TEXT)
        rows = self._unquoted() if self._is_unquoted else self._quoted()
        if self._header:
            next(rows, None)
        for number, cells in enumerate(rows, 1):
            if len(cells) != len(self.columns):
                raise DataError(
                    f"{self.path}, row {number}: {len(cells)} cells where {'the header' if self._header else 'the first row'} has {len(self.columns)}; quote texts that hold the separator"
                )
            # Line ends inside a text are the text's, whatever system the file is from.
            yield number, dict(zip(self.columns, (cell.replace("\r\n", "\n") for cell in cells), strict=True))

    def _unquoted(self) -> Iterator[list[str]]:
        self._warn(
            f"quotes in {self.path.name} are read as plain characters: every line is a row by itself, and some quotes are never closed"
        )
        return (self._split(line) for line in self._lines() if line.strip())

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
                        swallowing, first = swallowing + 1, first or row + (not self._header)
                    yield cells
                    row += 1
                could_be.clear()
        except csv.Error as error:
            raise DataError(
                f"{self.path}, after row {row - self._header}: not valid {(kind(self.path) or '')[1:]} ({error})"
            ) from None
        if swallowing:
            self._warn(
                f"{swallowing} rows of {self.path.name} hold line breaks between quotes, and each of those lines could be a row by itself (the first is row {first}): if rows are missing, quotes inside texts are not doubled"
            )


class _JsonSheet(Sheet):
    """Objects, whose keys are the columns."""

    def _columns(self) -> list[str]:
        values = self._objects()
        first = next(values, None)
        values.close()  # type: ignore[attr-defined]
        return [] if first is None else list(first[1])

    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[int, Cells]]:
        return self._objects()

    def _objects(self) -> Iterator[tuple[int, Cells]]:
        for number, value in enumerate(self._values(), 1):
            if not isinstance(value, dict):
                raise DataError(f"{self.path}, row {number}: expected a JSON object, not {type(value).__name__}")
            yield number, value

    @abstractmethod
    def _values(self) -> Iterator[Any]: ...


class JsonLinesSheet(_JsonSheet):
    """A JSON object a line."""

    def _values(self) -> Iterator[Any]:
        for number, line in enumerate((line for line in self._lines() if line.strip()), 1):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self.path}, row {number}: not JSON ({error}); expected one object a line") from None


class JsonSheet(JsonLinesSheet):
    """One JSON array of objects, which is read as a whole; or objects line by line, as many files of this name hold."""

    def _values(self) -> Iterator[Any]:
        lines = self._lines()
        first = next((line for line in lines if line.strip()), "")
        if not first.lstrip().startswith("["):
            lines.close()  # type: ignore[attr-defined]
            yield from super()._values()
            return
        try:
            values = json.loads(first + "".join(lines))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.path}: not JSON ({error}); expected an array of objects") from None
        yield from values


class ParquetSheet(Sheet):
    """Apache Parquet, a thousand rows in memory at a time."""

    def _columns(self) -> list[str]:
        if self.path.suffix.lower() in PACKED:
            raise DataError(f"{self.path}: Parquet is packed inside; unpack the file first")
        return list(self.schema.names)

    @cached_property
    def schema(self) -> "pyarrow.Schema":
        """The columns' types."""
        import pyarrow
        from pyarrow import parquet

        try:
            return parquet.read_schema(self.path)
        except pyarrow.ArrowException as error:
            raise DataError(f"{self.path}: not a readable Parquet file ({_line(error)})") from None

    def class_names(self, column: str) -> list[str] | None:
        """As Hugging Face's data sets write them: a feature of type ClassLabel in the schema's metadata."""
        try:
            feature = json.loads((self.schema.metadata or {})[b"huggingface"])["info"]["features"][column]
            names = feature["names"] if feature["_type"] == "ClassLabel" else None
        except (KeyError, TypeError, ValueError):
            return None
        return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None

    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[int, Cells]]:
        import pyarrow
        from pyarrow import parquet

        number = 0
        try:
            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=1024, columns=None if columns is None else list(columns)):
                    for cells in batch.to_pylist():
                        number += 1
                        yield number, cells
        except pyarrow.ArrowException as error:
            raise DataError(f"{self.path}, after row {number}: not a readable Parquet file ({_line(error)})") from None


class FastTextSheet(Sheet):
    """fastText's lines: `__label__NAME` and a text. The columns are called `label`, without the prefix, and `text`."""

    def _columns(self) -> list[str]:
        lines = self._lines()
        first = next((line for line in lines if line.strip()), "")
        lines.close()  # type: ignore[attr-defined]
        if not first.startswith(_FASTTEXT):
            raise DataError(
                f"{self.path}: not a table; a .txt file is read where its lines are fastText's (__label__NAME, a space, a text)"
            )
        return ["label", "text"]

    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[int, Cells]]:
        for number, line in enumerate((line for line in self._lines() if line.strip()), 1):
            label, _, text = line.strip("\r\n").partition(" ")
            if not label.startswith(_FASTTEXT):
                raise DataError(f"{self.path}, row {number}: expected {_FASTTEXT}NAME in front of the text")
            if text.startswith(_FASTTEXT):
                raise DataError(f"{self.path}, row {number}: has several labels; expected one")
            yield number, {"label": label.removeprefix(_FASTTEXT), "text": text}
