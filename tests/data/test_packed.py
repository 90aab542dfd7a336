"""Files that are small and unpack to more than a memory holds: refused on the way, in one line."""

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from job.data import packed
from job.data.corpus import load
from job.data.sheets import open_sheet
from job.errors import DataError
from tests.conftest import ROOT, rows, table
from tests.data.samples import as_jsonl, as_tar, check_refused, source

SAID = "unpacks to more than 100 times its size"
MEMBER = "train/pos/1_9.txt"


@pytest.fixture(autouse=True)
def _little_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "ALWAYS", 1 << 20)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.json.gz", "a.txt.gz"])
def test_a_packed_file_that_unpacks_to_far_more_than_its_size_is_65(name: str, tmp_path: Path) -> None:
    line = {"a.csv.gz": b"the same words,pos\n", "a.txt.gz": b"__label__1 the same words\n"}.get(
        name, b'{"text": "the same words", "label": 1}\n'
    )
    (tmp_path / name).write_bytes(gzip.compress(b"text,label\n" * (name == "a.csv.gz") + line * 70_000, mtime=0))
    check_refused(tmp_path / name, 65, SAID)


def test_so_is_one_of_zstandard(tmp_path: Path) -> None:
    content = b"text,label\n" + b"the same words,pos\n" * 70_000
    (tmp_path / "a.csv.zst").write_bytes(pyarrow.compress(content, "zstd", asbytes=True))
    check_refused(tmp_path / "a.csv.zst", 65, SAID)


def test_so_is_an_archive_whatever_it_hides_it_in(tmp_path: Path) -> None:
    zeros = bytes(8 << 20)
    (tmp_path / "other.tar.gz").write_bytes(gzip.compress(header("other.bin", len(zeros)) + zeros, mtime=0))
    check_refused(tmp_path / "other.tar.gz", 65, SAID)
    (tmp_path / "member.tar.gz").write_bytes(gzip.compress(header(MEMBER, 10 << 30) + zeros, mtime=0))
    check_refused(tmp_path / "member.tar.gz", 65, f"{MEMBER} is larger than 16777216 bytes")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_the_header_of_an_archives_member_is_not_read_where_it_claims_gigabytes(kind: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header("long", 8 << 30, kind) + bytes(1 << 20), mtime=0))
    check_refused(tmp_path / "a.tar.gz", 65, "not a whole .tar.gz (a header of 8589934592 bytes)")


def test_an_archive_of_millions_of_files_is_65(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("job.data.folders._MAX_FILES", 30)
    (tmp_path / "a.tar.gz").write_bytes(as_tar(rows()))
    check_refused(tmp_path / "a.tar.gz", 65, "holds more than 30 files; put their texts into a table")


def test_an_npz_whose_header_claims_a_terabyte_or_that_unpacks_to_one_is_65(tmp_path: Path) -> None:
    def write(claimed: int, content: bytes) -> None:
        stream = io.BytesIO()
        shape = {"descr": "<i8", "fortran_order": False, "shape": (claimed,)}
        np.lib.format.write_array_header_1_0(stream, shape)
        with zipfile.ZipFile(tmp_path / "imdb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("x_train", "y_train", "x_test", "y_test"):
                archive.writestr(f"{name}.npy", stream.getvalue() + content)

    (tmp_path / "imdb_word_index.json").write_text('{"a": 1}')
    write(1 << 37, b"ab")
    check_refused(tmp_path / "imdb.npz", 65, "y_train is not an array of reviews or labels as Keras writes it")
    write(1 << 19, bytes(4 << 20))
    check_refused(tmp_path / "imdb.npz", 65, SAID)


def test_parquet_of_one_text_that_all_rows_share_or_of_one_enormous_value_is_65(tmp_path: Path) -> None:
    text = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0, 1] * 500, pyarrow.int32()), ["good " * 20_000, "bad " * 20_000]
    )
    parquet.write_table(pyarrow.table({"text": text, "label": [0, 1] * 500}), tmp_path / "shared.parquet")
    check_refused(tmp_path / "shared.parquet", 65, SAID)
    one = pyarrow.table({"text": ["a " * 2_000_000], "label": [1]})
    parquet.write_table(one, tmp_path / "one.parquet", compression="zstd", use_dictionary=False)
    check_refused(tmp_path / "one.parquet", 65, SAID)


def test_a_page_of_parquet_whose_size_is_a_lie_is_65(tmp_path: Path) -> None:
    stream = io.BytesIO()
    values = rows(400)
    columns = {"text": [text for text, _ in values], "label": [label for _, label in values]}
    parquet.write_table(pyarrow.table(columns), stream, use_dictionary=False, compression="snappy")
    content = bytearray(stream.getvalue())
    # A page's header begins with its type (field 1: 0) and its unpacked size (field 2), in Thrift's variable length.
    assert content[4:7] == b"\x15\x00\x15"
    content[7:9] = b"\xfe\x7f"
    (tmp_path / "a.parquet").write_bytes(content)
    check_refused(tmp_path / "a.parquet", 65, "damaged")


def test_large_data_that_are_no_more_repetitive_than_texts_are_read(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    texts = [(f"{'good' if number % 2 else 'bad'} {random.integers(1 << 30)} and so on and on" * 10, str(number % 2)) for number in range(10_000)]  # fmt: skip
    content = table(texts)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content, mtime=0))
    assert len(content) > 2 * packed.ALWAYS
    assert sum(1 for _ in open_sheet(tmp_path / "a.csv.gz").rows()) == 10_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.txt"])
def test_a_line_that_never_ends_is_65(name: str, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("job.data.sheet.MAX_LINE", 100_000)
    monkeypatch.setattr("job.data.sheets.MAX_LINE", 100_000)
    start = {"a.csv": 'text,label\n"', "a.jsonl": '{"text": "', "a.json": '[{"text": "', "a.txt": "__label__1 "}[name]
    (tmp_path / name).write_text(start + "x " * 200_000, encoding)
    check_refused(tmp_path / name, 65, "of more than 100000 characters" if name == "a.json" else "has more than 100000 bytes")


def test_a_quote_that_nothing_closes_swallows_no_more_than_a_text_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("job.data.delimited.MAX_TEXT", 100_000)
    (tmp_path / "a.csv").write_bytes(b'text,label\n"a","b"\n"open,pos\n,,,\n' + b"more words here,pos\n" * 10_000)
    check_refused(tmp_path / "a.csv", 65, "field larger than field limit (100000)")


def test_a_header_of_separators_alone_is_65(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,label" + b"," * 200_000 + b"\n")
    check_refused(tmp_path / "a.csv", 65, "its first line has more than 100000 columns")


def test_half_a_gigabyte_on_one_line_takes_little_memory(tmp_path: Path) -> None:
    """At the real bounds, in a process of its own, whose peak is measured."""
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "') + gzip.compress(b"a" * (32 << 20)) * 16)
    program = f"""
import resource
from pathlib import Path
from job.data.corpus import load
from job.errors import DataError
from job.source import DataSource
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load(DataSource(name={str(tmp_path / "a.jsonl.gz")!r}, cache=Path({str(tmp_path / "cache")!r})))
except DataError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    kibibytes, _, said = done.stdout.partition(" ")
    assert "line 1: has more than 83886080 bytes" in said
    assert int(kibibytes) < 300 << 10


def test_json_of_many_elements_is_read_one_by_one(tmp_path: Path) -> None:
    """Elements that lie across the pieces that are read, and one that is longer than such a piece."""
    texts = [(f"{'good' if number % 2 else 'bad'} {number} " + "x" * (200_000 if number == 7 else number % 97), str(number % 2)) for number in range(3000)]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(as_jsonl(texts))
    lines = (tmp_path / "a.jsonl").read_bytes().rstrip().split(b"\n")
    (tmp_path / "a.json").write_bytes(b" \n[ " + b" ,\r\n ".join(lines) + b"\n ] \n")
    one, other = (load(source(tmp_path / name, tmp_path / "cache")) for name in ("a.jsonl", "a.json"))
    assert one.sha256 == other.sha256
    assert one.reading.rows == 3000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"a": 1}, ', "row 2: not JSON"),
        (b'[{"a": 1}', "row 1: not JSON (it is cut off)"),
        (b'[{"a": 1} {"a": 2}]', "row 1: not JSON (expected a comma or the end of the array)"),
        (b'[{"a": 1}] x', "row 1: not JSON (it goes on after the array)"),
        (b'[{"a": 1}, {"a" 2}]', "row 2: not JSON (Expecting ':' delimiter"),
        (b'[{"a": 1}, 5]', "row 2: expected a JSON object, not int"),
        (b"[" * 100_000, "row 1: not JSON (maximum recursion depth exceeded"),
    ],
)
def test_a_json_array_that_is_none_is_65(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(open_sheet(tmp_path / "a.json").rows())
    assert said in str(caught.value)


def test_lines_that_end_with_a_carriage_return_alone_are_rows(tmp_path: Path) -> None:
    content = table(rows()).replace(b"\r\n", b"\n")
    (tmp_path / "a.csv").write_bytes(content.replace(b"\n", b"\r"))
    (tmp_path / "b.csv").write_bytes(content)
    bare, plain = (load(source(tmp_path / name, tmp_path / "cache")) for name in ("a.csv", "b.csv"))
    assert bare.sha256 == plain.sha256
    assert bare.reading.notices == ["the lines of a.csv end with a carriage return alone"]
