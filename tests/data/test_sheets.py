"""Tables of every kind: each row once, in order, or one clear error."""

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from job.data.sheet import Cells
from job.data.sheets import open_sheet
from job.errors import ConfigurationError, DataError, InputOutputError, MissingInputError

TWO = [{"text": "good, really", "label": "pos"}, {"text": 'a "bad"\none', "label": "neg"}]
CSV = 'text,label\n"good, really",pos\n"a ""bad""\none",neg\n'


def read(path: Path, **options: Any) -> list[Cells]:
    return [cells for _, cells in open_sheet(path, **options).rows()]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zst(content: bytes) -> bytes:
    return bytes(pyarrow.compress(content, "zstd", asbytes=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode()),
        ("a.CSV", CSV.encode("utf-8-sig")),
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv", b"\xfe\xff" + CSV.encode("utf-16-be")),
        ("a.csv", CSV.encode("utf-32")),
        ("a.csv", CSV.replace("\n", "\r\n").encode()),
        ("a.csv", CSV.replace(",pos", ";pos").replace("text,", "text;").replace(",neg", ";neg").encode()),
        ("a.tsv", CSV.replace(",pos", "\tpos").replace("text,", "text\t").replace(",neg", "\tneg").encode()),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.csv.zst", zst(CSV.encode())),
        ("a.jsonl", "".join(json.dumps(row) + "\n" for row in TWO).encode()),
        ("a.json", json.dumps(TWO, indent=1).encode()),
        ("a.json", "\n".join(map(json.dumps, TWO)).encode()),
        ("a.json.gz", gzip.compress(json.dumps(TWO).encode(), mtime=0)),
    ],
)
def test_the_same_two_rows_whatever_the_file(tmp_path: Path, name: str, content: bytes) -> None:
    assert read(write(tmp_path, name, content)) == TWO


def test_parquet_gives_its_columns_types_and_class_names(tmp_path: Path) -> None:
    about = {"info": {"features": {"label": {"names": ["pos", "neg"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}}}
    table = pyarrow.table({"text": ["good", "bad"], "label": [0, 1], "when": [1.5, None]})
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), tmp_path / "a.parquet")
    sheet = open_sheet(tmp_path / "a.parquet")
    assert sheet.columns == ["text", "label", "when"]
    assert list(sheet.rows(["text", "label"])) == [(1, {"text": "good", "label": 0}), (2, {"text": "bad", "label": 1})]
    assert (sheet.class_names("label"), sheet.class_names("text"), sheet.class_names("when")) == (["pos", "neg"], None, None)
    assert sheet.schema is not None
    assert sheet.schema.field("when").type == pyarrow.float64()


def test_fasttext(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "__label__2 Good: really\n\n__label__1 bad\r\n")
    assert read(path) == [{"label": "2", "text": "Good: really"}, {"label": "1", "text": "bad"}]


def test_a_separator_that_is_not_the_usual_one_is_announced(tmp_path: Path) -> None:
    sheet = open_sheet(write(tmp_path, "a.csv", "text;label\ngood, really;1\n"))
    assert list(sheet.rows()) == [(1, {"text": "good, really", "label": "1"})]
    assert sheet.notices == ["a.csv is separated by ';', as its first line shows"]


def test_columns_without_a_header_are_called_by_number(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b'"4","x","caf\xe9"\n"0","y","bad"\n')
    assert read(path, encoding="latin-1", header=False) == [{"1": "4", "2": "x", "3": "café"}, {"1": "0", "2": "y", "3": "bad"}]


def test_quotes_that_nothing_closes_are_characters_where_each_line_is_a_row(tmp_path: Path) -> None:
    sheet = open_sheet(write(tmp_path, "a.tsv", 'text\tlabel\n"so he said\t1\nno\t0\nend"\t1\n"whole ""cell"""\t0\n'))
    texts = [cells["text"] for _, cells in sheet.rows()]
    assert texts == ['"so he said', "no", 'end"', 'whole "cell"']
    assert sheet.warnings == [
        "quotes in a.tsv are read as plain characters: every line is a row by itself, and some quotes are never closed"
    ]


def test_a_line_of_separators_is_a_row_of_empty_cells(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.tsv", 'text\tlabel\n\t\n\n"x\t1\n')) == [
        {"text": "", "label": ""},
        {"text": '"x', "label": "1"},
    ]


def test_a_long_quoted_text_is_no_sign_of_quotes_without_meaning(tmp_path: Path) -> None:
    # Longer than Python's csv module takes by itself.
    sheet = open_sheet(write(tmp_path, "a.csv", f'text,label\n"{"long " * 40_000}",1\n'))
    assert [len(cells["text"]) for _, cells in sheet.rows()] == [200_000]
    assert sheet.warnings == []


def test_rows_between_quotes_that_could_be_rows_are_announced(tmp_path: Path) -> None:
    sheet = open_sheet(write(tmp_path, "a.csv", 'label,text\n0,"one\n1, two"\n1,"x, y"\n'))
    assert [cells["text"] for _, cells in sheet.rows()] == ["one\n1, two", "x, y"]
    assert sheet.warnings == [
        "1 rows of a.csv hold line breaks between quotes, and each of those lines could be a row by itself (the first is row 1): if rows are missing, quotes inside texts are not doubled"
    ]


def test_a_quoted_text_of_several_lines_is_no_cause_for_a_notice(tmp_path: Path) -> None:
    sheet = open_sheet(write(tmp_path, "a.csv", CSV))
    assert [cells["text"] for _, cells in sheet.rows()] == ["good, really", 'a "bad"\none']
    assert (sheet.notices, sheet.warnings) == ([], [])


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        ("a.csv", b"", DataError, "is empty"),
        ("a.csv", b"text,label\n", DataError, "has columns but no rows"),
        ("a.csv", b"text,label\na\n", DataError, "row 1: 1 cells where the header has 2"),
        ("a.csv", b"text,text\na,b\n", DataError, "two columns called 'text'"),
        (
            "a.csv",
            b"text,label\na\xe9,1\n",
            DataError,
            "line 2: byte 0xe9 is not UTF-8; save the file as UTF-8, or name its encoding",
        ),
        ("a.csv", b"t,l\na\0,1\n", DataError, "line 2: holds a zero byte"),
        ("a.csv", b'text,label\n"a" b,1\nc,2,3\n', DataError, "not valid csv"),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], DataError, "is cut off or damaged"),
        ("a.csv.gz", b"text,label\n", DataError, "damaged"),
        ("a.csv.zst", zst(CSV.encode() * 100)[:-20], DataError, "damaged"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', DataError, "row 2: expected a JSON object, not list"),
        ("a.jsonl", b'{"a": 1}\n{"a"\n', DataError, "row 2: not JSON"),
        ("a.json", b"[1]", DataError, "row 1: expected a JSON object, not int"),
        ("a.json", b'[{"a": 1}', DataError, "expected an array of objects"),
        ("a.parquet", b"PAR1", DataError, "not a readable Parquet file"),
        ("a.parquet.gz", b"", DataError, "unpack the file first"),
        ("a.txt", b"good\n", DataError, "fastText"),
        ("a.txt", b"__label__1 good\nbad\n", DataError, "row 2: expected __label__NAME"),
        ("a.txt", b"__label__1 __label__2 good\n", DataError, "row 1: has several labels"),
        ("a.xlsx", b"", DataError, "not a table"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, name: str, content: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        read(write(tmp_path, name, content))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_a_folder_and_an_encoding_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="No such file or directory"):
        read(tmp_path / "a.csv")
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(MissingInputError, match="Is a directory"):
        read(tmp_path / "b.csv")
    with pytest.raises(ConfigurationError, match="--encoding klingon: no such encoding"):
        read(write(tmp_path, "c.csv", CSV), encoding="klingon")


def test_a_failing_disk_is_no_fault_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    path = write(tmp_path, "a.csv", CSV)
    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(InputOutputError, match="Input/output error"):
        read(path)


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(_TEXT, _TEXT), min_size=1, max_size=8), separator=st.sampled_from([",", ";", "\t"]))
def test_whatever_a_csv_writer_writes_is_read_back(rows: list[tuple[str, str]], separator: str) -> None:
    content = io.StringIO()
    writer = csv.writer(content, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows([("one", "two"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), "a.csv", content.getvalue().encode())
        assert [(cells["one"], cells["two"]) for cells in read(path)] == rows


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(_TEXT.map(lambda text: text.replace("\t", " ").replace("\n", " ")), st.integers(0, 1)), min_size=1)
)
def test_a_tsv_without_quoting_keeps_every_line(rows: list[tuple[str, int]]) -> None:
    content = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    with tempfile.TemporaryDirectory() as folder:
        cells = read(write(Path(folder), "a.tsv", content.encode()))
    assert [int(each["label"]) for each in cells] == [label for _, label in rows]


@settings(deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.integers() | _TEXT, min_size=1), min_size=1))
def test_whatever_is_written_as_json_is_read_back(rows: list[Cells]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert read(write(Path(folder), "a.jsonl", "\n".join(map(json.dumps, rows)).encode())) == rows
