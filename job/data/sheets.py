"""Tables of named columns, row by row: .csv, .tsv, .jsonl, .json, .parquet and fastText's .txt, plain or packed (.gz, .zst).

Nothing here knows what a column means. Every row of a file is yielded or an error is raised; what had to be decided on the
way stands in `Sheet.notices` (a separator, an encoding) and `Sheet.warnings` (what a quote is).
"""

import itertools
import json
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from job.data import decoding
from job.data.delimited import CsvSheet
from job.data.packed import check_size
from job.data.sheet import BLOCK, KINDS, MAX_LINE, PACKED, Cells, Sheet, kind, one_line, reading
from job.errors import DataError

if TYPE_CHECKING:
    import pyarrow

_FASTTEXT = "__label__"
_SPACE = re.compile(r"[ \t\r\n]*")
# Rows of Parquet in memory at a time: each of their texts may have megabytes.
_ROWS = 64


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


def is_fasttext(path: Path, encoding: str | None = None) -> bool:
    """Whether a file begins as fastText's do."""
    try:
        open_sheet(path, encoding)
    except DataError:
        return False
    return True


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
    """One JSON array of objects, or objects line by line, as many files of this name hold."""

    def _values(self) -> Iterator[Any]:
        blocks = self._blocks()
        start = next((text for block in blocks if (text := block.lstrip())), "")
        if start.startswith("["):
            yield from _Elements(self.path, start[1:], blocks).values()
        else:
            blocks.close()  # type: ignore[attr-defined]
            yield from super()._values()


class _Elements:
    """The elements of a JSON array one by one, so that memory does not grow with the file.

    Args:
        start: The text after the opening bracket.
        blocks: What comes after it.
    """

    def __init__(self, path: Path, start: str, blocks: Iterator[str]) -> None:
        self._path, self._text, self._blocks = path, start, blocks
        self._place = self._row = 0
        self._decoder = json.JSONDecoder()

    def values(self) -> Iterator[Any]:
        """Yields each element."""
        if self._next_sign() != "]":
            while True:
                self._row += 1
                yield self._value()
                sign = self._next_sign()
                if sign == "]":
                    break
                if sign != ",":
                    raise self._not_json("expected a comma or the end of the array" if sign else "it is cut off")
                self._place += 1
                self._next_sign()
        self._place += 1
        if self._next_sign():
            raise self._not_json("it goes on after the array")

    def _next_sign(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            blank = _SPACE.match(self._text, self._place)
            self._place = blank.end() if blank else self._place
            if self._place < len(self._text):
                return self._text[self._place]
            self._text, self._place = next(self._blocks, ""), 0
            if not self._text:
                return ""

    def _value(self) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
                error: ValueError | None = None
            except RecursionError as deep:
                raise self._not_json(str(deep)) from None
            except ValueError as failed:
                error, end = failed, 0
            # The end of the text at hand may be in the midst of an element. Twice as much, so that a long one is not read often.
            if error is None and end < len(self._text):
                self._place = end
                return value
            rest = self._text[self._place :]
            more = "".join(itertools.islice(self._blocks, 1 + len(rest) // BLOCK))
            if not more:
                raise self._not_json("it is cut off" if error is None else str(error))
            self._text, self._place = rest + more, 0
            if len(self._text) > MAX_LINE:
                raise self._not_json(f"an element of more than {MAX_LINE} characters, or a mistake in it")

    def _not_json(self, why: str) -> DataError:
        return DataError(f"{self._path}, row {self._row}: not JSON ({why}); expected an array of objects")


class ParquetSheet(Sheet):
    """Apache Parquet, some rows in memory at a time."""

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
            raise DataError(f"{self.path}: not a readable Parquet file ({one_line(error)})") from None

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

        number = unpacked = 0
        packed = self.path.stat().st_size
        try:
            with parquet.ParquetFile(self.path) as file:
                groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
                check_size(self.path, sum(group.total_byte_size for group in groups), packed)
                for batch in file.iter_batches(batch_size=_ROWS, columns=None if columns is None else list(columns)):
                    # A text that many rows share is in the file once.
                    unpacked += batch.nbytes
                    check_size(self.path, unpacked, packed)
                    for cells in batch.to_pylist():
                        number += 1
                        yield number, cells
        # What Python has no type for, such as times to the nanosecond, is a ValueError, which Arrow's own errors are, too.
        except (pyarrow.ArrowException, ValueError) as error:
            raise DataError(f"{self.path}, after row {number}: not a readable Parquet file ({one_line(error)})") from None


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


class LinesSheet(Sheet):
    """One text a line, empty ones included, in a column called `text`. No table of its name's kind: who wants it asks for it."""

    def _columns(self) -> list[str]:
        lines = self._lines()
        first = next(lines, None)
        lines.close()  # type: ignore[attr-defined]
        if first is None:
            raise DataError(f"{self.path}: is empty; expected one text a line")
        return ["text"]

    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[int, Cells]]:
        for number, line in enumerate(self._lines(), 1):
            yield number, {"text": line.rstrip("\r\n")}
