"""Judges the texts of a table: its rows in, the same rows with a judgement out, every other column carried through."""

import csv
import gzip
import io
import itertools
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from job.commands.predict import Answer, predict
from job.data.readers import TEXT_COLUMNS, find_column
from job.data.sheet import Cells, Sheet, kind
from job.errors import ConfigurationError, DataError, OutputError
from job.files import atomic
from job.network.predictor import Predictor
from job.output.cells import is_formula
from job.records.base import without_lone_surrogates

log = logging.getLogger(__name__)
OUTPUTS = (".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".tsv.gz", ".jsonl.gz")
"""The endings of tables that are written."""
_ADDED = ("probability", "label", "known_words")
_FOR_SPREADSHEETS = (".csv", ".tsv")
_ROWS = 2048
_Writer = Callable[[list[Cells]], None]


def judge(
    predictor: Predictor, sheet: Sheet, text_column: str | None, output: Path | None, standard_output: tuple[IO[str], str]
) -> None:
    """Judges each row's text, in order, some rows in memory at a time.

    The columns `probability`, `label` and `known_words` are added, or `predicted_label`, `predicted_label_2` and so on
    where the table has columns of these names.

    Args:
        text_column: None for the one that is called as texts are.
        output: The file to write, of the kind that its ending says; it appears whole or not at all.
        standard_output: Where rows go instead, and as what (`.csv` or `.jsonl`).

    Raises:
        MissingInputError, DataError, InputOutputError: The table cannot be read, or has no such column.
        ConfigurationError: The output is the table itself.
        OutputError: The output cannot be written.
    """
    text, notice = find_column(sheet, text_column, TEXT_COLUMNS, "text")
    columns = _all_columns(sheet)
    added = [_free(name, columns) for name in _ADDED]
    if output is not None:
        _check(output, sheet.path)
    for said in [notice] if notice else []:
        log.info(f"data: {said}")
    formulas = 0
    with _writer(output, standard_output, [*columns, *added], sheet) as write:
        for rows, answers in _judged(predictor, sheet, text):
            formulas += sum(isinstance(value, str) and is_formula(value) for cells in rows for value in cells.values())
            write([cells | dict(zip(added, _values(answer), strict=True)) for cells, answer in zip(rows, answers, strict=True)])
    # Of a table of that kind they are as they were.
    if formulas and _is_for_spreadsheets(output, standard_output) and kind(sheet.path) not in _FOR_SPREADSHEETS:
        log.warning(
            f"{sheet.path}: cells that begin as formulas do: {formulas:,}; they are carried through unchanged, so import them into a spreadsheet as text"
        )
    for said in sheet.notices:
        log.info(f"data: {said}")
    for said in sheet.warnings:
        log.warning(said)


def _is_for_spreadsheets(output: Path | None, standard_output: tuple[IO[str], str]) -> bool:
    return (standard_output[1] if output is None else kind(output)) in _FOR_SPREADSHEETS


def _free(name: str, columns: list[str]) -> str:
    """What a new column is called beside those that are there."""
    names = itertools.chain([name, f"predicted_{name}"], (f"predicted_{name}_{number}" for number in itertools.count(2)))
    return next(each for each in names if each not in columns)


def _check(output: Path, table: Path) -> None:
    """Before anything is judged."""
    with atomic.explained(output):
        if os.path.realpath(output) == os.path.realpath(table):
            raise ConfigurationError(f"--output {output}: is the table that is read; name another file")
        if output.is_dir():
            raise OutputError(f"--output {output}: is a folder; expected the name of a file")
        if not output.parent.is_dir():
            raise OutputError(f"--output {output}: there is no folder {output.parent}; make it, or name another file")


def _all_columns(sheet: Sheet) -> list[str]:
    """Rows of JSON may have columns that the first one has not."""
    if kind(sheet.path) not in (".json", ".jsonl"):
        return sheet.columns
    return list(dict.fromkeys(itertools.chain(sheet.columns, *(cells for _, cells in sheet.rows()))))


def _judged(predictor: Predictor, sheet: Sheet, column: str) -> Iterator[tuple[list[Cells], list[Answer]]]:
    waiting: deque[list[Cells]] = deque()

    def texts() -> Iterator[list[str]]:
        rows = sheet.rows()
        while some := list(itertools.islice(rows, _ROWS)):
            waiting.append([cells for _, cells in some])
            yield [_text(sheet, number, cells.get(column)) for number, cells in some]

    for answers in predict(predictor, texts()):
        yield waiting.popleft(), answers


def _text(sheet: Sheet, number: int, value: object) -> str:
    if value is None:
        # Judged like an empty one, and warned of like one: a row is not to be lost for it.
        return ""
    if not isinstance(value, str):
        raise DataError(f"{sheet.path}, row {number}: expected a text, not {type(value).__name__}")
    return without_lone_surrogates(value)


def _values(answer: Answer) -> tuple[float, str, int]:
    return round(answer.probability, 6), answer.label, answer.known_words


@contextmanager
def _writer(output: Path | None, standard_output: tuple[IO[str], str], columns: list[str], sheet: Sheet) -> Iterator[_Writer]:
    if output is None:
        stream, form = standard_output
        yield _text_writer(stream, form, columns)
        stream.flush()
        return
    unfinished = atomic.temporary(output)
    try:
        with ExitStack() as stack:
            stack.enter_context(atomic.explained(output))
            if kind(output) == ".parquet":
                yield stack.enter_context(_parquet_writer(unfinished, columns, sheet))
            else:
                opened: Any = gzip.open if output.suffix.lower() == ".gz" else io.open
                yield _text_writer(
                    stack.enter_context(opened(unfinished, "wt", encoding="utf-8", newline="")), str(kind(output)), columns
                )
        atomic.commit(unfinished, output)
    finally:
        atomic.remove(unfinished)


def _text_writer(stream: IO[str], form: str, columns: list[str]) -> _Writer:
    if form == ".jsonl":
        return lambda rows: stream.writelines(_json(_in_order(row, columns)) + "\n" for row in rows)
    table = csv.writer(stream, delimiter="\t" if form == ".tsv" else ",", lineterminator="\n")
    table.writerow(columns)
    return lambda rows: table.writerows([_cell(row.get(column)) for column in columns] for row in rows)


def _in_order(row: Cells, columns: list[str]) -> Cells:
    return {column: row[column] for column in columns if column in row}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return _json(value) if isinstance(value, (bool, list, dict)) else without_lone_surrogates(str(value))


def _json(value: Any) -> str:
    """With half of a surrogate pair escaped, as it can only have come."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if without_lone_surrogates(text) == text else json.dumps(value, default=str)


def _arrow(value: Any) -> Any:
    return without_lone_surrogates(value) if isinstance(value, str) else value


@contextmanager
def _parquet_writer(path: Path, columns: list[str], sheet: Sheet) -> Iterator[_Writer]:
    """Columns of Parquet keep their types; of other tables they have those of the first rows."""
    import pyarrow
    from pyarrow import parquet

    with ExitStack() as stack:
        schema = sheet.schema
        if schema is not None:
            types = (pyarrow.float32(), pyarrow.string(), pyarrow.int32())
            for name, kind_of in zip(columns[len(schema.names) :], types, strict=True):
                schema = schema.append(pyarrow.field(name, kind_of))
        writer: Any = None

        def write(rows: list[Cells]) -> None:
            nonlocal schema, writer
            try:
                # Every column in every row: Arrow takes the names from the first one.
                table = pyarrow.Table.from_pylist(
                    [{column: _arrow(row.get(column)) for column in columns} for row in rows], schema=schema
                )
            except pyarrow.ArrowException as error:
                raise DataError(
                    f"{sheet.path}: its rows do not fit Parquet's types ({' '.join(str(error).split())[:200]}); write .jsonl instead"
                ) from None
            if writer is None:
                schema = table.schema
                writer = stack.enter_context(parquet.ParquetWriter(path, schema))
            writer.write_table(table)

        yield write
