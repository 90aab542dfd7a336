"""Every kind of file and folder that holds labelled texts, good and bad."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from job.data.corpus import load
from job.errors import DataError, MissingInputError
from tests.conftest import rows, table
from tests.data.samples import as_jsonl, as_parquet, as_tar, check_refused, source, words


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", table(rows())),
        ("a.tsv", table(rows(), separator="\t")),
        ("bom.csv", b"\xef\xbb\xbf" + table(rows())),
        ("a.jsonl", as_jsonl(rows())),
        ("bom.jsonl", b"\xef\xbb\xbf" + as_jsonl(rows())),
        ("a.parquet", as_parquet(rows())),
        ("a.tar.gz", as_tar(rows())),
        ("flat.tgz", as_tar(rows(), prefix="")),
    ],
)
def test_every_format_gives_the_same_reviews(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    corpus = load(source(tmp_path / name, tmp_path / "cache"))
    texts = {(words(corpus, index), int(corpus.labels[index])) for index in corpus.part("train")}
    assert texts < {(f"<START> {text}", int(label == "pos")) for text, label in rows()}
    assert len(corpus.labels) == 40


def test_the_layout_of_aclimdb_as_a_folder_is_read_and_its_parts_are_kept(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(as_tar(rows()))) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    for folder in (tmp_path / "data", tmp_path / "data" / "aclImdb"):
        corpus = load(source(folder, tmp_path / "cache"))
        assert corpus.own_test_part
        assert len(corpus.part("train")) == len(corpus.part("test")) == 20


def test_a_quoted_text_may_hold_newlines_and_separators(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table([*rows(), ('one\r\ntwo, "three"', "pos")]))
    corpus = load(source(tmp_path / "a.csv", tmp_path))
    assert len(corpus.labels) == 41
    assert int(corpus.lengths[40]) == 4


# name, content, exit code, what the line says
BAD: list[tuple[str, bytes, int, str]] = [
    ("empty.csv", b"", 65, "is empty"),
    ("header.csv", b"text,label\n", 65, "no rows"),
    ("column.csv", b"a,b\n1,2\n", 66, "it has 'a', 'b'"),
    ("label.csv", b"text,b\nx,2\n", 66, "which column is the label"),
    ("cells.csv", b"text,label\na,pos\nb,c,neg\n", 65, "row 2: 3 cells"),
    ("quote.csv", b'text,label\n"a,b,pos\n', 65, "not valid csv"),
    ("binary.csv", bytes(range(256)) * 8, 65, "zero byte"),
    ("latin1.csv", "text,label\ncafé,pos\n".encode("latin1"), 65, "line 2: byte 0xe9 is not UTF-8"),
    ("one.csv", table([("a", "pos"), ("b", "pos")]), 65, "only one class"),
    ("three.csv", table([("a", "pos"), ("b", "neg"), ("c", "neutral")]), 65, "does not hold both classes"),
    ("numbers.csv", table([("a", "0"), ("b", "1"), ("c", "7")]), 65, "numbers on no known scale; the labels are '0' (1 rows)"),
    ("middling.csv", table([("a", "5"), ("b", "10"), ("c", "6")]), 65, "only one class"),
    ("few.csv", table([("a", "pos"), ("b", "neg")]), 65, "does not hold both classes"),
    ("empty.jsonl", b"", 65, "is empty"),
    ("no.jsonl", b"{", 65, "row 1: not JSON"),
    ("list.jsonl", b"[1]\n", 65, "expected a JSON object"),
    ("missing.jsonl", b'{"text": "a", "label": 1}\n{"text": "b"}\n', 65, "row 2: has no 'label'"),
    ("number.jsonl", b'{"text": 5, "label": 1}\n', 65, "row 1: expected a text, not int"),
    ("nested.jsonl", b'{"text": "a", "label": [1]}\n', 65, "row 1: the label is a list"),
    ("deep.jsonl", b'{"text":' * 100_000, 65, "row 1: not JSON"),
    ("null.jsonl", b'{"text": "a", "label": null}\n', 65, "row 1: the label is empty"),
    ("no.parquet", b"PAR1 not really", 65, "not a readable Parquet"),
    ("cut.parquet", as_parquet(rows())[:-20], 65, "not a readable Parquet"),
    ("no.tar.gz", b"not gzip", 65, "is damaged"),
    ("cut.tar.gz", as_tar(rows())[:-60], 65, "is cut off or damaged"),
    ("other.tar.gz", gzip.compress(bytes(10240), mtime=0), 65, "no texts in the layout"),
    ("tar.tar.gz", gzip.compress(b"not a tar" * 200, mtime=0), 65, "not a whole .tar.gz"),
    ("a.txt", b"hello", 65, "not a table; a .txt file is read where its lines are fastText's"),
    ("a.doc", b"hello", 65, "a file of this kind is not read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "code", "message"), BAD, ids=[each[0] for each in BAD])
def test_bad_data_get_one_line_and_their_exit_code(name: str, content: bytes, code: int, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    check_refused(tmp_path / name, code, message)


def test_a_missing_path_or_column_is_66(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="No such file or directory"):
        load(source(tmp_path / "none.csv", tmp_path))
    with pytest.raises(MissingInputError, match="No such file or directory"):
        load(source(tmp_path / "none.npz", tmp_path))
    (tmp_path / "a.csv").write_bytes(table(rows()))
    with pytest.raises(MissingInputError, match=r"no column 'x' \(--text-column\)"):
        load(source(tmp_path / "a.csv", tmp_path, text="x"))


def test_a_link_in_a_data_folder_is_not_followed(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(as_tar(rows()))) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "aclImdb" / "train" / "pos" / "99_9.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="a link that leads out of the data folder"):
        load(source(tmp_path / "aclImdb", tmp_path / "cache"))


def test_a_link_or_an_outward_path_in_an_archive_reaches_nothing(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        link = tarfile.TarInfo("aclImdb/train/pos/1_9.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        outside = tarfile.TarInfo("../../../tmp/sentiment-job-escaped.txt")
        archive.addfile(outside, io.BytesIO())
    (tmp_path / "a.tar.gz").write_bytes(stream.getvalue())
    with pytest.raises(DataError, match="no texts"):
        load(source(tmp_path / "a.tar.gz", tmp_path))
    assert not Path("/tmp/sentiment-job-escaped.txt").exists()
