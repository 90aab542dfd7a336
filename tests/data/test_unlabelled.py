"""Texts without labels: where they are read from, what is left out of them, and that they change nothing else."""

import csv
import gzip
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.config import Request, resolve
from job.data import corpus as corpora
from job.data import findings
from job.data.corpus import Corpus, load
from job.errors import ConfigurationError, DataError, JobError, MissingInputError
from job.source import Columns, DataRequest, DataSource, resolve_source
from tests.conftest import rows, table, write_imdb
from tests.data.samples import as_parquet, as_tar, words

TEXTS = ["review bad indeed", "good good good", "is it"]
# What the vocabulary of `rows` makes of them.
SEEN = ["<START> review bad <UNK>", "<START> good good good", "<START> is <UNK>"]
_AS_BEFORE = "0d31e2d9ff4ba0bcca8965aa7f71ff94f3ad530135f47bf411e66dea469c41c8"
_NPZ_AS_BEFORE = "84f52de4669eb79d268a7482dd45d5a3a8e2351763f913fe7b77b8662448c562"


def read(path: Path, unlabelled: Path | None, columns: Columns | None = None, **options: Any) -> Corpus:
    said = str(unlabelled) if unlabelled else None
    return load(
        DataSource(name=str(path), cache=path.parent / "cache", unlabelled=said, columns=columns or Columns(), **options)
    )


def beside(unlabelled: Path, **options: Any) -> Corpus:
    """Forty labelled reviews in a table, and the texts."""
    path = unlabelled.parent / "labelled" / "a.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(table(rows()))
    corpus = read(path, unlabelled, **options)
    found = [len(corpus.part(name)) for name in ("train", "validation", "test", "unlabelled")]
    assert sum(found) + sum(corpus.reading.left_out.values()) == corpus.reading.rows
    assert found == [32, 0, 8, corpus.reading.unlabelled]
    assert corpus.labels[corpus.part("unlabelled")].tolist() == [0] * found[3]
    return corpus


def texts(corpus: Corpus) -> list[str]:
    return [words(corpus, index) for index in corpus.part("unlabelled").tolist()]


def write_folder(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def tar(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


_JSONL = "".join(json.dumps({"text": text, "more": 1}) + "\n" for text in TEXTS).encode()
_FASTTEXT = "".join(f"__label__{number} {text}\n" for number, text in enumerate(TEXTS, 1)).encode()
_NOT_READ = "the column 'label' of {} is not read: these texts are taken without labels"
_LINES = "{} is read as one text a line"


@pytest.mark.parametrize(
    ("name", "content", "notices"),
    [
        ("u.csv", table([(text,) for text in TEXTS], header=("text",)), []),
        ("label.csv", table([(text, "?") for text in TEXTS]), [_NOT_READ]),
        ("u.tsv", table([(text, "") for text in TEXTS], separator="\t"), [_NOT_READ]),
        ("u.jsonl.gz", gzip.compress(_JSONL, mtime=0), []),
        ("u.json", json.dumps([{"text": text} for text in TEXTS]).encode(), []),
        ("u.parquet", as_parquet([(text, "") for text in TEXTS]), [_NOT_READ]),
        ("ft.txt", _FASTTEXT, [_NOT_READ]),
        ("u.txt", "\n".join(TEXTS).encode(), [_LINES]),
        ("dos.txt.gz", gzip.compress("".join(f"{text}\r\n" for text in TEXTS).encode(), mtime=0), [_LINES]),
        (
            "wide.txt",
            "".join(f"{text}\n" for text in TEXTS).encode("utf-16"),
            [_LINES, "{} is read as UTF-16-LE, as its byte-order mark says"],
        ),
    ],
)
def test_every_kind_of_file_gives_its_texts_and_no_label(name: str, content: bytes, notices: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    corpus = beside(tmp_path / name)
    assert texts(corpus) == SEEN
    assert corpus.rows[corpus.part("unlabelled")].tolist() == [1, 2, 3]
    assert (corpus.reading.rows, corpus.reading.unlabelled, corpus.reading.left_out) == (43, 3, {})
    assert corpus.reading.notices == [notice.format(name) for notice in notices]
    assert corpus.reading.columns == {"text": "text", "label": "label"}
    assert [(each.label, each.rows) for each in corpus.reading.labels] == [("neg", 20), ("pos", 20)]


def test_a_column_that_is_named_holds_for_these_texts_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(rows(), header=("said", "stars")))
    (tmp_path / "u.csv").write_bytes(table([(text, "5") for text in TEXTS], header=("said", "stars")))
    corpus = read(tmp_path / "a.csv", tmp_path / "u.csv", Columns(text="said", label="stars"))
    assert texts(corpus) == SEEN
    assert corpus.reading.notices == ["the column 'stars' of u.csv is not read: these texts are taken without labels"]
    # Where columns have no names, there is but one.
    for name, content in (("u.txt", "\n".join(TEXTS).encode()), ("ft.txt", _FASTTEXT)):
        (tmp_path / name).write_bytes(content)
        assert texts(read(tmp_path / "a.csv", tmp_path / name, Columns(text="said", label="stars"))) == SEEN
    (tmp_path / "other.csv").write_bytes(table([("x",)], header=("text",)))
    with pytest.raises(MissingInputError, match=r"other\.csv: no column 'said' \(--text-column\)"):
        read(tmp_path / "a.csv", tmp_path / "other.csv", Columns(text="said", label="stars"))


def test_a_folder_of_texts_is_read_however_deep_and_links_out_of_it_are_not(tmp_path: Path) -> None:
    files = {"a.txt": TEXTS[0], "b/c/d.TXT": TEXTS[1], "e/pos/1_9.txt": TEXTS[2], "e/urls_pos.txt": "x", "README": "x"}
    write_folder(tmp_path / "u", {**files, ".hidden/a.txt": "hidden"})
    corpus = beside(tmp_path / "u")
    assert texts(corpus) == SEEN
    assert corpus.reading.notices == ["the texts of u are taken without the labels that folders called pos and neg speak of"]
    assert corpus.reading.warnings == [
        "passed over in u: 1 README files; 1 hidden files, such as macOS adds; 1 lists of addresses"
    ]
    assert corpus.groups is None
    (tmp_path / "u" / "z.txt").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="a link that leads out of the data folder"):
        beside(tmp_path / "u")


_ACLIMDB = {
    "aclImdb/README": "x",
    **{f"aclImdb/train/pos/{number}_9.txt": f"labelled {number}" for number in range(4)},
    **{f"aclImdb/train/unsup/{number}_0.txt": text for number, text in enumerate(TEXTS)},
}


@pytest.mark.parametrize("is_folder", [True, False])
def test_of_aclimdb_exactly_the_texts_in_unsup_are_taken(is_folder: bool, tmp_path: Path) -> None:
    path = tmp_path / ("u" if is_folder else "u.tar.gz")
    if is_folder:
        write_folder(path, _ACLIMDB)
    else:
        path.write_bytes(tar(_ACLIMDB))
    corpus = beside(path)
    assert texts(corpus) == SEEN
    assert corpus.reading.notices == [f"of {path.name} the 3 texts in folders called unsup are taken, and not the 4 others"]
    assert corpus.reading.warnings == [f"passed over in {path.name}: 1 README files"]


def test_a_folder_of_unsup_itself_and_an_archive_without_one_give_all_their_texts(tmp_path: Path) -> None:
    write_folder(tmp_path / "u", _ACLIMDB)
    assert texts(beside(tmp_path / "u" / "aclImdb" / "train" / "unsup")) == SEEN
    (tmp_path / "t.tgz").write_bytes(tar({f"{number}.txt": text for number, text in enumerate(TEXTS)}))
    assert texts(beside(tmp_path / "t.tgz")) == SEEN


def test_where_labelled_and_other_texts_lie_together_none_is_said_to_be_passed_over(tmp_path: Path) -> None:
    for number, (text, label) in enumerate(rows()):
        write_folder(tmp_path / "aclImdb", {f"train/{label}/{number}_1.txt": text})
    write_folder(tmp_path / "aclImdb", {f"train/unsup/{number}_0.txt": text for number, text in enumerate(TEXTS)})
    (tmp_path / "d").mkdir()
    for name, values in (("train.csv", rows()), ("test.csv", rows(8)), ("unsupervised.csv", [(text, "-1") for text in TEXTS])):
        (tmp_path / "d" / name).write_bytes(table(values))
    for path in (tmp_path / "aclImdb", tmp_path / "d"):
        corpus = read(path, path)
        assert texts(corpus) == SEEN
        assert corpus.reading.warnings == []
        assert len(read(path, None).reading.warnings) == 1
    inside = read(tmp_path / "aclImdb", tmp_path / "aclImdb" / "train" / "unsup")
    assert (texts(inside), inside.reading.warnings) == (SEEN, [])


def test_of_a_folder_of_tables_those_called_unsupervised_are_taken_or_all(tmp_path: Path) -> None:
    (tmp_path / "u" / "data").mkdir(parents=True)
    for shard, some in enumerate((TEXTS[:2], TEXTS[2:])):
        (tmp_path / "u" / "data" / f"unsupervised-0000{shard}-of-00002.parquet").write_bytes(
            as_parquet([(x, "") for x in some])
        )
    (tmp_path / "u" / "data" / "train.csv").write_bytes(table([("more", "pos")]))
    corpus = beside(tmp_path / "u")
    assert texts(corpus) == SEEN
    label = "the column 'label' of {} is not read: these texts are taken without labels"
    shards = [f"unsupervised-0000{shard}-of-00002.parquet" for shard in (0, 1)]
    assert corpus.reading.notices == [
        f"of u the texts in {', '.join(shards)} are taken, and not those of the 1 other tables",
        *map(label.format, shards),
    ]
    assert corpus.reading.warnings == []
    for path in (tmp_path / "u" / "data").glob("unsup*"):
        path.unlink()
    assert texts(beside(tmp_path / "u")) == ["<START> <UNK>"]


def test_what_is_tested_on_known_or_there_twice_is_left_out_by_its_words_and_counted(tmp_path: Path) -> None:
    parts = ("train", "test", "train", "dev")
    labelled = [(*row, parts[number // 2 % 4]) for number, row in enumerate(rows())]
    (tmp_path / "a.csv").write_bytes(table(labelled, header=("text", "label", "split")))
    said = [
        *["", "?!", "REVIEW 0, is bad!", "review 2 is bad", "review 3 is good", "review 6 is bad"],
        *["new words", "New words.", "other", "new words"],
    ]
    (tmp_path / "u.csv").write_bytes(table([(text,) for text in said], header=("text",)))
    corpus = read(tmp_path / "a.csv", tmp_path / "u.csv")
    assert texts(corpus) == ["<START> <UNK> <UNK>", "<START> <UNK>"]
    assert corpus.rows[corpus.part("unlabelled")].tolist() == [7, 9]
    assert (corpus.reading.rows, corpus.reading.unlabelled) == (50, 2)
    assert corpus.reading.left_out == {
        "unlabelled texts that are empty": 2,
        "unlabelled texts that are test texts, word for word": 2,
        "unlabelled texts that are validation texts, word for word": 1,
        "unlabelled texts that are training texts, word for word": 1,
        "unlabelled texts that repeat another one": 2,
    }


def test_of_a_test_part_that_is_split_off_no_text_is_learned_from_and_none_at_all_is_65(tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_bytes(table([*rows(), ("new", "pos")]))
    corpus = beside(tmp_path / "u.csv")
    assert corpus.reading.left_out == {
        "unlabelled texts that are test texts, word for word": 8,
        "unlabelled texts that are training texts, word for word": 32,
    }
    (tmp_path / "u.csv").write_bytes(table(rows(4)))
    with pytest.raises(DataError, match=r"none of the 4 texts of --unlabelled is of use: 4 unlabelled texts that are t"):
        beside(tmp_path / "u.csv")


def test_nothing_but_the_texts_is_added_and_data_without_them_are_as_ever(tmp_path: Path) -> None:
    (tmp_path / "u.txt").write_text("\n".join(TEXTS))
    with_them = beside(tmp_path / "u.txt")
    path = tmp_path / "labelled" / "a.csv"
    without = read(path, None)
    assert without.sha256 == _AS_BEFORE != with_them.sha256
    assert "unlabelled" not in without.reading.to_values()
    assert (without.words, without.own_test_part) == (with_them.words, with_them.own_test_part)
    assert without.tokens.tolist() == with_them.tokens[: len(without.tokens)].tolist()
    for name in ("labels", "parts", "hashes", "rows"):
        assert getattr(without, name).tolist() == getattr(with_them, name)[:40].tolist()
    assert without.labelled.tolist() == with_them.labelled.tolist() == list(range(40))
    for one, other in zip(without.split_validation(0.3), with_them.split_validation(0.3), strict=True):
        assert one.tolist() == other.tolist()
    assert findings.faults(with_them) == findings.faults(without) == []
    (tmp_path / "u.txt").write_text("\n".join([*TEXTS, "another"]))
    assert beside(tmp_path / "u.txt").sha256 != with_them.sha256


def test_what_earlier_versions_encoded_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_bytes(table(rows()))
    Path("u.txt").write_text("\n".join(TEXTS))
    without, with_them = (
        corpora.fill(DataSource(name="a.csv", cache=Path("cache"), unlabelled=said, keeps_html=True)).name
        for said in (None, "u.txt")
    )
    assert without == "df2b4abc9b4e0025e2bcb97d2a7bd205" != with_them


def test_a_column_or_folder_that_is_called_unlabelled_is_left_out_as_ever(tmp_path: Path) -> None:
    values = [(*row, ("train", "test", "unlabelled")[number // 2 % 3]) for number, row in enumerate(rows(60))]
    (tmp_path / "a.csv").write_bytes(table(values, header=("text", "label", "split")))
    (tmp_path / "b.tar.gz").write_bytes(
        tar(
            {f"train/{label}/{number}_1.txt": text for number, (text, label) in enumerate(rows())}
            | {f"unlabelled/pos/{number}.txt": text for number, text in enumerate(TEXTS)}
        )
    )
    corpus = read(tmp_path / "a.csv", None)
    assert corpus.reading.left_out == {"in a part that is not used (unlabelled)": 20}
    assert texts(corpus) == texts(read(tmp_path / "b.tar.gz", None)) == []
    (tmp_path / "u.txt").write_text("\n".join(TEXTS))
    assert texts(read(tmp_path / "a.csv", tmp_path / "u.txt")) == SEEN


def test_beside_an_npz_texts_are_known_again_by_the_words_of_its_index(tmp_path: Path) -> None:
    path = write_imdb(tmp_path)
    without = load(DataSource(name=str(path), cache=tmp_path))
    assert without.sha256 == _NPZ_AS_BEFORE
    test, train = (without.text(int(without.part(name)[5])) for name in ("test", "train"))
    said = [f"An {test} unknown!", train, "w1 W2, isn't\x85w3", "w2 w2"]
    (tmp_path / "u.jsonl").write_text("".join(json.dumps({"said": text}) + "\n" for text in said))
    corpus = load(
        DataSource(name=str(path), cache=tmp_path, unlabelled=str(tmp_path / "u.jsonl"), columns=Columns(text="said"))
    )
    assert texts(corpus) == ["<START> w1 w2 <UNK> w3", "<START> w2 w2"]
    assert corpus.reading.left_out == {
        "unlabelled texts that are test texts, word for word": 1,
        "unlabelled texts that are training texts, word for word": 1,
    }
    assert (corpus.name, corpus.reading.rows, corpus.words) == ("imdb.npz", 244, without.words)
    assert corpus.tokens[: len(without.tokens)].tolist() == without.tokens.tolist()
    assert corpus.hashes[:240].tolist() == without.hashes.tolist()


def test_they_are_in_no_group_and_groups_are_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table([(*row, "who") for row in rows()] + [("x", "pos", "b"), ("y", "neg", "c")] * 20, header=("text", "label", "who")))  # fmt: skip
    (tmp_path / "u.csv").write_bytes(table([(text, "who") for text in TEXTS], header=("text", "who")))
    corpora_of = [
        load(DataSource(name=str(tmp_path / "a.csv"), cache=tmp_path, unlabelled=said, columns=Columns(group="who")), True)
        for said in (None, str(tmp_path / "u.csv"))
    ]
    without, with_them = corpora_of
    assert with_them.groups is not None
    assert without.groups is not None
    assert with_them.groups[:80].tolist() == without.groups.tolist()
    assert with_them.groups[80:].tolist() == with_them.hashes[80:].tolist()
    # Of data that are only scored the vocabulary is of all reviews, and still of no text without a label.
    assert with_them.words == without.words


# name, content, exit code, what the line says
BAD: list[tuple[str, bytes | None, int, str]] = [
    ("none.csv", None, 66, "none.csv: cannot be read (No such file or directory); expected texts without labels: .csv"),
    ("imdb.npz", b"x", 65, "imdb.npz: a file of this kind is not read here; expected texts without labels: .csv"),
    ("a.doc", b"x", 65, "a.doc: a file of this kind is not read here"),
    ("empty.txt", b"", 65, "empty.txt: is empty; expected one text a line"),
    ("cp1252.txt", "first\ncafé\n".encode("cp1252"), 65, "cp1252.txt, line 2: byte 0xe9 is not UTF-8"),
    ("binary.txt", bytes(range(256)), 65, "binary.txt, line 1: holds a zero byte"),
    ("column.csv", b"a,b\n1,2\n", 66, "column.csv: which column is the text?"),
    ("number.jsonl", b'{"text": 5}\n', 65, "number.jsonl, row 1: expected a text, not int"),
    ("no.tar.gz", b"not gzip", 65, "no.tar.gz: cannot be read, its content is damaged"),
    ("cut.tar.gz", as_tar(rows())[:-60], 65, "cut.tar.gz: is cut off or damaged"),
    ("other.tar.gz", tar({"a.md": "x"}), 65, "other.tar.gz: no texts without labels; expected .txt files, one text each"),
    ("thai.txt", "ดีมาก\n".encode(), 65, "thai.txt: most texts (1 of 1) are in a script that puts no spaces between words"),
]


@pytest.mark.parametrize(("name", "content", "code", "message"), BAD, ids=[each[0] for each in BAD])
def test_bad_texts_get_one_line_and_their_exit_code(
    name: str, content: bytes | None, code: int, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(JobError) as caught:
        beside(tmp_path / name)
    assert caught.value.exit_code == code
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_texts_is_65(tmp_path: Path) -> None:
    write_folder(tmp_path / "u", {"a.md": "x"})
    with pytest.raises(DataError, match=r"u: no texts without labels; expected \.txt files"):
        beside(tmp_path / "u")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_without_line_ends_does_not_fill_the_memory(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("job.data.sheet.MAX_LINE", 1000)
    (tmp_path / "u.txt").write_text("short\n" + "x" * 100_000, encoding)
    with pytest.raises(DataError, match=r"u\.txt, line 2: has more than 1000 bytes; expected one row or text a line"):
        beside(tmp_path / "u.txt")


def test_these_texts_go_with_imdb_and_what_they_are_read_by_too_but_not_with_embedded() -> None:
    source = resolve_source(DataRequest(data="imdb", unlabelled="u.csv", text_column="said", encoding="cp1252", no_header=True))
    assert (source.unlabelled, source.columns.text, source.encoding, source.header) == ("u.csv", "said", "cp1252", False)
    with pytest.raises(ConfigurationError, match=r"^--unlabelled: for files only, but --data is embedded; leave it out$"):
        resolve_source(DataRequest(data="embedded", unlabelled="u.csv"))
    with pytest.raises(ConfigurationError, match=r"^--label-column: for files only, but --data is imdb; leave it out$"):
        resolve_source(DataRequest(data="imdb", unlabelled="u.csv", label_column="x"))
    with pytest.raises(ConfigurationError, match=r"^--text-column: for files only, but --data is imdb"):
        resolve_source(DataRequest(data="imdb", text_column="x"))


def test_a_plan_names_them() -> None:
    assert resolve(Request(data="a.csv", unlabelled="u.csv")).plan().unlabelled == "u.csv"
    assert "unlabelled" not in resolve(Request(data="a.csv")).plan().to_values()


@settings(deadline=None, max_examples=40)
@given(
    said=st.lists(st.integers(0, 50).map(lambda number: f"text {number}") | st.sampled_from(["", "new", "other"]), max_size=30),
    has_parts=st.booleans(),
)
def test_no_text_is_lost_and_none_is_in_two_parts(said: list[str], has_parts: bool) -> None:
    values = [(f"text {number}", "15"[number % 2], ("train", "test", "dev")[number // 2 % 3]) for number in range(60)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(table(values, header=("text", "label", "split" if has_parts else "other")))
        with Path(folder, "u.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([["text"], ["always new"], *([text] for text in said)])
        corpus = read(path, Path(folder, "u.csv"))
    # A line without anything is no row of a .csv.
    count = 61 + len(said)
    used = len(corpus.parts)
    assert used + sum(corpus.reading.left_out.values()) == corpus.reading.rows == count
    mine = corpus.hashes[corpus.part("unlabelled")]
    assert len(mine) == corpus.reading.unlabelled == len(np.unique(mine)) == 1 + len({"new", "other"} & set(said))
    assert not np.isin(mine, corpus.hashes[corpus.labelled]).any()
