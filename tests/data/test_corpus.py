"""Every source of labelled texts, good and bad, as the commands see it."""

import gzip
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from job.commands import data as inspection
from job.config import DataSource
from job.data.corpus import Corpus, load
from job.data.imdb import read_array
from job.errors import DataError, JobError, MissingInputError
from tests.conftest import rows, table, write_imdb


def source(path: Path, cache: Path, text: str | None = None, label: str | None = None) -> DataSource:
    return DataSource(name=str(path), cache=cache, text_column=text, label_column=label)


def words(corpus: Corpus, index: int) -> str:
    names = ["<PAD>", "<START>", "<UNK>", "<UNUSED>", *corpus.words]
    return " ".join(names[number] for number in corpus.review(index))


def as_jsonl(values: list[tuple[str, str]]) -> bytes:
    return "".join(json.dumps({"review": text, "sentiment": label}) + "\n" for text, label in values).encode()


def as_parquet(values: list[tuple[str, str]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    columns = {"text": [text for text, _ in values], "label": [label for _, label in values]}
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


def as_tar(values: list[tuple[str, str]], prefix: str = "aclImdb/") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for number, (text, label) in enumerate(values):
            part = "test" if number % 4 < 2 else "train"
            info = tarfile.TarInfo(f"{prefix}{part}/{label}/{number}_7.txt")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


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


def test_an_empty_text_is_a_start_token_alone_so_that_no_row_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table([*rows(), ("", "pos"), ("?!", "neg")]))
    corpus = load(source(tmp_path / "a.csv", tmp_path))
    assert words(corpus, 40) == words(corpus, 41) == "<START>"


def test_ranks_are_by_frequency_in_the_training_part_and_then_by_the_word(tmp_path: Path) -> None:
    values = [("b b b a a", "neg"), ("c a c", "pos"), ("b zebra", "pos"), ("zebra a quite other words", "neg")]
    (tmp_path / "a.tar.gz").write_bytes(as_tar([values[2], values[3], values[0], values[1]]))
    corpus = load(source(tmp_path / "a.tar.gz", tmp_path))
    assert corpus.words == ["a", "b", "c"]
    assert words(corpus, 0) == "<START> b <UNK>"


def test_a_text_stays_on_its_side_when_rows_are_added(tmp_path: Path) -> None:
    def sides(count: int) -> dict[int, tuple[int, bool]]:
        path = tmp_path / f"{count}.csv"
        path.write_bytes(table(rows(count)))
        corpus = load(source(path, tmp_path))
        held_out = set(corpus.split_validation(0.3)[1].tolist())
        return {int(corpus.hashes[index]): (int(corpus.parts[index]), index in held_out) for index in range(count)}

    few, many = sides(60), sides(200)
    assert few.items() <= many.items()
    shares = np.mean([list(many.values())], axis=1)[0]
    assert 0.1 < shares[0] < 0.3  # a fifth for testing
    assert 0.15 < shares[1] < 0.33  # three tenths of the rest for validation


def test_what_was_encoded_is_mapped_the_second_time_and_encoded_anew_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table(rows()))
    first = load(source(path, tmp_path / "cache"))
    again = load(source(path, tmp_path / "cache"))
    assert isinstance(again.tokens, np.memmap)
    assert len(list((tmp_path / "cache" / "encoded").iterdir())) == 1
    assert first.sha256 == again.sha256
    path.write_bytes(table(rows(44)))
    assert load(source(path, tmp_path / "cache")).sha256 != first.sha256


def test_mapped_pages_are_let_go_and_can_be_read_again(tmp_path: Path) -> None:
    import resource

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell the resident memory in /proc")
    count = 16 << 20
    np.save(tmp_path / "tokens.npy", np.full(count, 7, np.int32))
    mapped = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    nothing = np.zeros(1, np.int8)
    corpus = Corpus("test", mapped, np.array([0, count]), nothing, nothing, np.zeros(1, np.uint64), [], True, "")
    before = resident()
    assert int(corpus.review(0).sum()) == 7 * count
    read = resident()
    assert read - before > 48 << 20
    corpus.release()
    assert read - resident() > 48 << 20
    assert int(corpus.review(0)[-1]) == 7


def test_a_cache_that_cannot_be_written_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_bytes(table(rows()))
    (tmp_path / "cache").write_bytes(b"a file, not a folder")
    corpus = load(source(tmp_path / "a.csv", tmp_path / "cache"))
    assert len(corpus.labels) == 40
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "cannot be written" in record.message


def test_an_npz_and_the_texts_it_was_made_of_give_the_same_ids(tmp_path: Path) -> None:
    path = write_imdb(tmp_path)
    corpus = load(source(path, tmp_path))
    with np.load(path, allow_pickle=True) as file:
        ranks, labels = file["x_train"], file["y_train"]
    assert corpus.review(3).tolist() == [1, *(rank + 3 for rank in ranks[3])]
    assert corpus.labels[:120].tolist() == labels.tolist()
    assert corpus.words[:2] == ["w1", "w2"]
    assert len(corpus.part("test")) == 120


def test_faults_are_reported(tmp_path: Path) -> None:
    values = [*rows(), rows()[0], (rows()[1][0], "neg"), ("", "neg"), ("", "neg")]
    (tmp_path / "a.csv").write_bytes(table(values))
    report = inspection.inspect(load(source(tmp_path / "a.csv", tmp_path)))
    assert report.train.duplicates + report.test.duplicates == 3
    assert report.train.empty + report.test.empty == 2
    assert any("both labels" in fault for fault in report.faults)
    assert report.test_texts_in_train == 0


def test_the_same_text_in_train_and_test_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(as_tar([("same", "neg"), ("x", "pos"), ("same", "neg"), ("y", "pos")]))
    report = inspection.inspect(load(source(tmp_path / "a.tar.gz", tmp_path)))
    assert report.test_texts_in_train == 1
    assert any("in the training part too" in fault for fault in report.faults)


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return Path.touch, (Path("/tmp/sentiment-job-was-here"),)  # type: ignore[return-value]


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def reviews(*values: Any) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


_INDEX = json.dumps({"a": 1, "b": 2}).encode()
_GOOD = {"x_train": reviews([1], [2]), "y_train": np.array([0, 1]), "x_test": reviews([1], [2]), "y_test": np.array([0, 1])}

# name, content, other files, exit code, what the line says
BAD: list[tuple[str, bytes, dict[str, bytes], int, str]] = [
    ("empty.csv", b"", {}, 65, "is empty"),
    ("header.csv", b"text,label\n", {}, 65, "no rows"),
    ("column.csv", b"a,b\n1,2\n", {}, 66, "it has 'a', 'b'"),
    ("label.csv", b"text,b\nx,2\n", {}, 66, "which column is the label"),
    ("cells.csv", b"text,label\na,pos\nb,c,neg\n", {}, 65, "row 2: 3 cells"),
    ("quote.csv", b'text,label\n"a,pos\n', {}, 65, "not valid csv"),
    ("binary.csv", bytes(range(256)) * 8, {}, 65, "zero byte"),
    ("latin1.csv", "text,label\ncafé,pos\n".encode("latin1"), {}, 65, "line 2: byte 0xe9 is not UTF-8"),
    ("utf16.csv", "text,label\na,pos\n".encode("utf-16"), {}, 65, "UTF-16"),
    ("one.csv", table([("a", "pos"), ("b", "pos")]), {}, 65, "only one class"),
    ("three.csv", table([("a", "pos"), ("b", "neg"), ("c", "neutral")]), {}, 65, "row 3: label 'neutral'"),
    ("numbers.csv", table([("a", "0"), ("b", "1"), ("c", "2")]), {}, 65, "label 0 among 0, 1, 2"),
    ("middling.csv", table([("a", "1"), ("b", "10"), ("c", "5")]), {}, 65, "row 3: a rating of 5"),
    ("few.csv", table([("a", "pos"), ("b", "neg")]), {}, 65, "does not hold both classes"),
    ("empty.jsonl", b"", {}, 65, "is empty"),
    ("no.jsonl", b"{", {}, 65, "row 1: not JSON"),
    ("list.jsonl", b"[1]\n", {}, 65, "expected a JSON object"),
    ("missing.jsonl", b'{"text": "a", "label": 1}\n{"text": "b"}\n', {}, 65, "row 2: has no 'label'"),
    ("number.jsonl", b'{"text": 5, "label": 1}\n', {}, 65, "row 1: expected a text, not int"),
    ("nested.jsonl", b'{"text": "a", "label": [1]}\n', {}, 65, "row 1: the label is a list"),
    ("deep.jsonl", b'{"text":' * 100_000, {}, 65, "row 1: not JSON"),
    ("null.jsonl", b'{"text": "a", "label": null}\n', {}, 65, "row 1: the label is empty"),
    ("no.parquet", b"PAR1 not really", {}, 65, "not a readable Parquet"),
    ("cut.parquet", as_parquet(rows())[:-20], {}, 65, "not a readable Parquet"),
    ("no.tar.gz", b"not gzip", {}, 65, "not a whole .tar.gz"),
    ("cut.tar.gz", as_tar(rows())[:-60], {}, 65, "not a whole .tar.gz"),
    ("other.tar.gz", gzip.compress(bytes(10240)), {}, 65, "no reviews in the layout"),
    ("tar.tar.gz", gzip.compress(b"not a tar" * 200), {}, 65, "not a whole .tar.gz"),
    ("a.txt", b"hello", {}, 65, "a file of this kind is not read"),
    ("no.npz", b"not a zip", {"imdb_word_index.json": _INDEX}, 65, "expected an .npz"),
    ("alone.npz", npz(**_GOOD), {}, 66, "imdb_word_index.json: no such file"),
    ("index.npz", npz(**_GOOD), {"imdb_word_index.json": b"[]"}, 65, "expected a JSON object of word: rank"),
    ("deep.npz", npz(**_GOOD), {"imdb_word_index.json": b'{"a":' * 100_000}, 65, "not JSON"),
    ("latin.npz", npz(**_GOOD), {"imdb_word_index.json": b'{"\xe9": 1}'}, 65, "not JSON"),
    ("names.npz", npz(**_GOOD), {"imdb_word_index.json": b'{"a": 1, "b": "2"}'}, 65, "imdb_word_index.json"),
    ("gap.npz", npz(**_GOOD), {"imdb_word_index.json": b'{"a": 1, "b": 3}'}, 65, "expected the ranks 1 to 2"),
    ("arrays.npz", npz(a=np.zeros(3)), {"imdb_word_index.json": _INDEX}, 65, "missing: x_train"),
    ("evil.npz", npz(**_GOOD | {"x_train": reviews([1], Evil())}), {"imdb_word_index.json": _INDEX}, 65, "is not an array, a list or an integer"),
    ("text.npz", npz(**_GOOD | {"x_train": reviews([1], ["a"])}), {"imdb_word_index.json": _INDEX}, 65, "x_train row 2: expected word ranks"),
    ("range.npz", npz(**_GOOD | {"x_train": reviews([1], [3])}), {"imdb_word_index.json": _INDEX}, 65, "x_train row 2: expected word ranks from 1 to 2"),
    ("zero.npz", npz(**_GOOD | {"x_test": reviews([0], [1])}), {"imdb_word_index.json": _INDEX}, 65, "x_test row 1: expected word ranks from 1 to 2"),
    ("string.npz", npz(**_GOOD | {"x_test": reviews("ab", [1])}), {"imdb_word_index.json": _INDEX}, 65, "x_test row 1: expected a list"),
    ("labels.npz", npz(**_GOOD | {"y_test": np.array([0, 2])}), {"imdb_word_index.json": _INDEX}, 65, "y_test row 2: label"),
    ("count.npz", npz(**_GOOD | {"y_test": np.array([0])}), {"imdb_word_index.json": _INDEX}, 65, "2 reviews, but y_test 1 labels"),
    ("float.npz", npz(**_GOOD | {"y_test": np.array([0.0, 1.0])}), {"imdb_word_index.json": _INDEX}, 65, "integers were expected"),
    ("square.npz", npz(**_GOOD | {"x_test": np.zeros((2, 2), int)}), {"imdb_word_index.json": _INDEX}, 65, "one dimension"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "beside", "code", "message"), BAD, ids=[each[0] for each in BAD])
def test_bad_data_get_one_line_and_their_exit_code(
    name: str, content: bytes, beside: dict[str, bytes], code: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for other, value in beside.items():
        (tmp_path / other).write_bytes(value)
    with pytest.raises(JobError) as caught:
        load(source(path, tmp_path / "cache"))
    assert caught.value.exit_code == code
    assert message in str(caught.value)
    assert str(path.parent) in str(caught.value)
    leftovers = list((tmp_path / "cache" / "encoded").glob("*")) if (tmp_path / "cache").exists() else []
    assert leftovers == []


def test_a_missing_path_or_column_is_66(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such file or folder"):
        load(source(tmp_path / "none.csv", tmp_path))
    with pytest.raises(MissingInputError, match="no such file or folder"):
        load(source(tmp_path / "none.npz", tmp_path))
    (tmp_path / "a.csv").write_bytes(table(rows()))
    with pytest.raises(MissingInputError, match=r"no column 'x' \(--text-column\)"):
        load(source(tmp_path / "a.csv", tmp_path, text="x"))


def test_nothing_that_a_pickle_holds_is_run(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, reviews(Evil()), allow_pickle=True)
    stream.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="is not an array, a list or an integer"):
        read_array(stream)
    assert not Path("/tmp/sentiment-job-was-here").exists()


def test_a_link_in_a_data_folder_is_not_followed(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(as_tar(rows()))) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "aclImdb" / "train" / "pos" / "99_9.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="links in a data folder are not followed"):
        load(source(tmp_path, tmp_path / "cache"))


def test_a_link_or_an_outward_path_in_an_archive_reaches_nothing(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        link = tarfile.TarInfo("aclImdb/train/pos/1_9.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        outside = tarfile.TarInfo("../../../tmp/sentiment-job-escaped.txt")
        archive.addfile(outside, io.BytesIO())
    (tmp_path / "a.tar.gz").write_bytes(stream.getvalue())
    with pytest.raises(DataError, match="no reviews"):
        load(source(tmp_path / "a.tar.gz", tmp_path))
    assert not Path("/tmp/sentiment-job-escaped.txt").exists()


def test_an_array_that_unpacks_beyond_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_imdb(tmp_path)
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("x_train.npy").file_size
    monkeypatch.setattr("job.data.imdb._MAX_MEMBER_BYTES", size - 1)
    with pytest.raises(DataError, match="at most"):
        load(source(path, tmp_path))


_MANY: dict[str, Any] = {
    "x_train": reviews(*([1 + n % 8, 2] for n in range(40))), "y_train": np.arange(40) % 2,
    "x_test": reviews(*([1 + n % 8] for n in range(40))), "y_test": np.arange(40) % 2,
}  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_done_to_a_file_it_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    suffix, content = data.draw(
        st.sampled_from(
            [
                (".csv", table(rows())),
                (".jsonl", as_jsonl(rows())),
                (".parquet", as_parquet(rows())),
                (".tar.gz", as_tar(rows())),
                (".npz", npz(**_MANY)),
                ("_word_index.json", json.dumps({f"w{rank}": rank for rank in range(1, 9)}).encode()),
            ]
        )
    )
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path = tmp_path / f"damaged{suffix}"
    if suffix == "_word_index.json":
        path = tmp_path / "whole.npz"
        path.write_bytes(npz(**_MANY))
        (tmp_path / "imdb_word_index.json").write_bytes(damaged)
    else:
        (tmp_path / "imdb_word_index.json").write_text(json.dumps({f"w{rank}": rank for rank in range(1, 9)}))
        path.write_bytes(damaged)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    code = 0
    try:
        corpus = load(source(path, tmp_path / "cache"))
    except JobError as error:
        code = error.exit_code
    assert code in (0, 65, 66)
    if code == 0:
        assert corpus.lengths.min() >= 1
        assert corpus.offsets[-1] == len(corpus.tokens)
