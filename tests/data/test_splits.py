"""Parts and groups: which side of a split a row is on, and that every row is counted."""

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.data.corpus import Corpus, load
from job.data.parts import held_out, holds_both, of_name
from job.errors import DataError, MissingInputError
from job.source import Columns, DataSource
from tests.conftest import rows, table
from tests.data.samples import as_parquet, words

HEADER = ("text", "label", "split")


def read(path: Path, cache: Path | None = None, **options: Any) -> Corpus:
    columns = Columns(**{use: options.pop(use) for use in ("text", "label", "split", "group", "id") if use in options})
    return load(DataSource(name=str(path), cache=cache or path.parent / "cache", columns=columns, **options))


def counts(corpus: Corpus) -> dict[str, int]:
    found = {name: len(corpus.part(name)) for name in ("train", "validation", "test")}
    assert sum(found.values()) + corpus.reading.unlabelled + sum(corpus.reading.left_out.values()) == corpus.reading.rows
    return found


def with_parts(*parts: str, count: int = 40) -> list[tuple[str, ...]]:
    return [(*row, parts[number // 2 % len(parts)]) for number, row in enumerate(rows(count))]


@pytest.mark.parametrize("name", ["split", "Part", "fold", "subset"])
def test_a_column_of_parts_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table(with_parts("train", " Test", "train", "dev"), header=("text", "label", name)))
    corpus = read(path)
    assert counts(corpus) == {"train": 20, "validation": 10, "test": 10}
    assert corpus.own_test_part
    assert corpus.own_validation_part
    assert corpus.reading.columns == {"text": "text", "label": "label", "split": name}
    assert [part.tolist() for part in corpus.split_validation(0.1)] == [
        corpus.part("train").tolist(),
        corpus.part("validation").tolist(),
    ]


def test_a_column_that_only_looks_like_one_is_warned_of_by_name_and_one_that_is_named_must_do(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table(with_parts("1", "2"), header=("text", "label", "fold")))
    corpus = read(path)
    assert not corpus.own_test_part
    assert sum(counts(corpus).values()) == 40
    assert corpus.reading.warnings == [
        "the column 'fold' is not used to split the data: it holds '1', '2'; expected train, validation (or valid, val, dev) and test in every row"
    ]
    with pytest.raises(DataError, match="--split-column fold holds '1', '2'; expected train"):
        read(path, split="fold")
    with pytest.raises(MissingInputError, match=r"no column 'x' \(--split-column\)"):
        read(path, split="x")


def test_unlabelled_parts_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table(with_parts("train", "test", "unsupervised", "train"), header=HEADER))
    corpus = read(path)
    assert counts(corpus) == {"train": 20, "validation": 0, "test": 10}
    assert corpus.reading.left_out == {"in a part that is not used (unlabelled)": 10}


def test_test_and_validation_data_may_lie_elsewhere(tmp_path: Path) -> None:
    for name in ("a.csv", "b.jsonl", "c.csv"):
        content = (
            table(rows())
            if name != "b.jsonl"
            else "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows(8)).encode()
        )
        (tmp_path / name).write_bytes(content)
    corpus = read(tmp_path / "a.csv", test=str(tmp_path / "b.jsonl"), validation=str(tmp_path / "c.csv"))
    assert counts(corpus) == {"train": 40, "validation": 40, "test": 8}
    assert corpus.rows[corpus.part("test")].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_parts_that_other_data_stand_for_are_left_out_and_of_those_only_the_part_of_that_name_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(with_parts("train", "test"), header=HEADER))
    (tmp_path / "b.csv").write_bytes(table(with_parts("train", "test", "train", "train"), header=HEADER))
    corpus = read(tmp_path / "a.csv", test=str(tmp_path / "b.csv"))
    assert counts(corpus) == {"train": 20, "validation": 0, "test": 10}
    assert corpus.reading.left_out == {
        "rows of --data that --test-data replaces": 20,
        "rows of --test-data outside its own part of that name": 30,
    }


def test_a_folder_of_tables_is_read_by_the_names_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.csv").write_bytes(table(rows()))
    (tmp_path / "d" / "valid.csv").write_bytes(table(rows(6)))
    (tmp_path / "d" / "my_test.csv").write_bytes(table(rows(8)))
    (tmp_path / "d" / "unsupervised.csv").write_bytes(table(rows(4)))
    (tmp_path / "d" / "other.csv").write_bytes(table(rows(4)))
    (tmp_path / "d" / "notes.doc").write_bytes(b"x")
    # Nothing of what is no table is looked into: a link in there may lead anywhere.
    (tmp_path / "d" / "linked").symlink_to("/usr")
    corpus = read(tmp_path / "d")
    assert counts(corpus) == {"train": 40, "validation": 6, "test": 8}
    assert corpus.reading.warnings == [
        "passed over in d: other.csv, as its name does not say which part it is",
        "passed over in d: unsupervised.csv, as its rows have no labels",
        "passed over in d: 2 other files and folders, such as linked, notes.doc",
    ]


@pytest.mark.parametrize("place", ["", "data", "plain_text"])
def test_hugging_face_s_shards_are_read_in_order_and_a_missing_one_is_named(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "d" / place
    folder.mkdir(parents=True)
    for shard in (0, 1):
        (folder / f"train-0000{shard}-of-00002.parquet").write_bytes(as_parquet(rows()[shard * 20 : shard * 20 + 20]))
    (folder / "test-00000-of-00001-1a2b.parquet").write_bytes(as_parquet(rows(8)))
    corpus = read(tmp_path / "d")
    assert counts(corpus) == {"train": 40, "validation": 0, "test": 8}
    assert corpus.rows.tolist() == [*range(1, 9), *range(1, 41)]
    train = corpus.part("train")
    assert words(corpus, int(train[20])) == f"<START> {rows()[20][0]}"
    (folder / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(MissingInputError, match="train-00001-of-00002 is missing; expected 2 shards"):
        read(tmp_path / "d")


def test_a_folder_of_fasttext_files_is_one_of_tables(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name, count in (("train.ft.txt", 40), ("test.ft.txt", 8)):
        lines = [f"__label__{2 if label == 'pos' else 1} {text}\n" for text, label in rows(count)]
        (tmp_path / "d" / name).write_text("".join(lines))
    assert counts(read(tmp_path / "d")) == {"train": 40, "validation": 0, "test": 8}


def test_a_table_that_is_a_link_out_of_its_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(table(rows()))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.csv").symlink_to(tmp_path / "train.csv")
    with pytest.raises(DataError, match=r"train\.csv: is a link that leads out of the data folder"):
        read(tmp_path / "d")


def test_what_is_said_of_columns_need_not_hold_of_data_beside(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table([(*row, "who") for row in rows()], header=("text", "label", "who")))
    (tmp_path / "b.csv").write_bytes(table(rows(8)))
    for number, (text, label) in enumerate(rows(8)):
        path = tmp_path / "c" / label / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for other in ("b.csv", "c"):
        corpus = read(tmp_path / "a.csv", group="who", test=str(tmp_path / other))
        assert counts(corpus) == {"train": 40, "validation": 0, "test": 8}
    with pytest.raises(MissingInputError, match=r"no column 'who' \(--group-column\)"):
        read(tmp_path / "b.csv", group="who")


def test_only_the_test_rows_of_data_beside_are_tested_on_where_these_alone_have_a_column_of_parts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(rows()))
    (tmp_path / "b.csv").write_bytes(table(with_parts("train", "test"), header=HEADER))
    corpus = read(tmp_path / "a.csv", test=str(tmp_path / "b.csv"))
    assert counts(corpus) == {"train": 40, "validation": 0, "test": 20}
    assert corpus.reading.left_out == {"rows of --test-data outside its own part of that name": 20}


def test_two_folders_of_tables_are_one_too_many(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        (tmp_path / "d" / name / "train.csv").write_bytes(table(rows()))
    with pytest.raises(DataError, match=r"several folders in it hold tables .*name one of them"):
        read(tmp_path / "d")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", 0),
        ("imdb_dev", 2),
        ("TEST-00000-of-00001", 1),
        ("my.validation", 2),
        ("contest", None),
        ("train_test", None),
        ("a", None),
    ],
)
def test_the_part_in_a_name(name: str, part: int | None) -> None:
    assert of_name(name) == part


def test_all_texts_of_a_folder_are_read_or_named(tmp_path: Path) -> None:
    for number, (text, label) in enumerate(rows()):
        part = ("train", "Test", "valid")[number // 2 % 3]
        path = (
            tmp_path / "d" / part / label / ("deep" if number % 5 == 0 else "") / f"{number}_1.{'TXT' if number % 2 else 'txt'}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-16" if number % 3 == 0 else "utf-8")
    (tmp_path / "d" / "train" / "pos" / "._1_1.txt").write_bytes(b"\0")
    (tmp_path / "d" / "train" / "unsup").mkdir()
    (tmp_path / "d" / "train" / "unsup" / "1_0.txt").write_text("x")
    (tmp_path / "d" / "README").write_text("x")
    (tmp_path / "d" / "more").symlink_to("/usr")
    (tmp_path / "d" / "train" / "pos" / "note.md").write_text("x")
    corpus = read(tmp_path / "d")
    assert counts(corpus) == {"train": 14, "validation": 12, "test": 14}
    assert corpus.reading.warnings == [
        "passed over in d: 1 .md files outside neg and pos; 1 README files outside neg and pos; 1 hidden files, such as macOS adds; 1 more files outside neg and pos; 1 texts without a label (unsup)"
    ]
    assert corpus.ids is not None
    assert len(corpus.ids) == 14
    assert all(str(each).startswith("Test/") for each in corpus.ids)


def test_classes_alone_make_a_folder_whose_test_part_is_split_off(tmp_path: Path) -> None:
    for number, (text, label) in enumerate(rows()):
        path = tmp_path / "d" / {"pos": "positive", "neg": "negative"}[label] / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    corpus = read(tmp_path / "d")
    assert not corpus.own_test_part
    assert sum(counts(corpus).values()) == 40


def test_a_volume_of_links_is_read_and_a_link_that_leads_out_is_not(tmp_path: Path) -> None:
    # As Kubernetes lays out a ConfigMap.
    (tmp_path / "d" / "..2026").mkdir(parents=True)
    (tmp_path / "d" / "..2026" / "train.csv").write_bytes(table(rows()))
    (tmp_path / "d" / "..data").symlink_to("..2026")
    (tmp_path / "d" / "train.csv").symlink_to("..data/train.csv")
    assert sum(counts(read(tmp_path / "d")).values()) == 40


def test_reviews_of_one_film_stay_together_where_stanford_s_lists_are(tmp_path: Path) -> None:
    for number, (text, label) in enumerate(rows(400)):
        path = tmp_path / "aclImdb" / ("train" if number < 320 else "test") / label / f"{number}_7.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for part in ("train", "test"):
        for label in ("pos", "neg"):
            (tmp_path / "aclImdb" / part / f"urls_{label}.txt").write_text(
                "".join(f"http://film/{line // 8}\n" for line in range(400))
            )
    corpus = read(tmp_path)
    assert corpus.groups is not None
    assert corpus.reading.notices == [f"reviews of one film stay together, by the lists of addresses in {tmp_path.name}"]
    train, validation = corpus.split_validation(0.2)
    assert len(set(corpus.groups[train].tolist())) + len(set(corpus.groups[validation].tolist())) == 40
    assert 20 <= len(validation) <= 120
    assert len(validation) % 8 == 0


def test_the_text_is_the_group_of_who_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows())
        + json.dumps({"text": "x", "label": "pos", "who": "a"})
        + "\n"
    )
    with pytest.raises(MissingInputError, match="--group-column"):
        read(tmp_path / "a.jsonl", group="who")


def test_labels_that_are_left_out_are_in_no_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table([*rows(), ("meh undecided", "neutral"), ("so so", "neutral")]))
    corpus = read(path)
    assert sum(counts(corpus).values()) == 40
    assert corpus.reading.left_out == {"label 'neutral'": 2}
    assert not {"meh", "undecided", "so"} & set(corpus.words)
    assert [(each.label, each.meaning, each.rows) for each in corpus.reading.labels] == [
        ("neg", "negative", 20),
        ("pos", "positive", 20),
        ("neutral", "left out", 2),
    ]


_ROW = st.tuples(
    st.integers(0, 6),
    st.sampled_from(["1", "2", "3", "4", "5"]),
    st.sampled_from(["train", "test", "dev", "unsup"]),
    st.integers(0, 9),
)


@settings(deadline=None, max_examples=60)
@given(values=st.lists(_ROW, max_size=40), has_parts=st.booleans())
def test_no_group_straddles_and_no_row_is_lost(values: list[tuple[int, str, str, int]], has_parts: bool) -> None:
    # Enough of both classes, so that every draw can be trained on.
    base = [(f"text {number}", "15"[number % 2], ("train", "test")[number // 2 % 2], f"base {number}") for number in range(80)]
    lines = [*base, *((f"text {text}", label, part, f"group {group}") for text, label, part, group in values)]
    shown = [(text, label, part if has_parts else "?", group) for text, label, part, group in lines]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(table(shown, header=("text", "label", "split" if has_parts else "other", "who")))
        corpus = read(path, group="who", id="who")
    found = counts(corpus)
    assert corpus.reading.rows == len(lines)
    middle = Counter(label for _, label, part, _ in lines if not (has_parts and part == "unsup"))["3"]
    assert corpus.reading.left_out.get("label '3'", 0) == middle
    if has_parts:
        kept = Counter(part for _, label, part, _ in lines if label != "3")
        assert (found["train"], found["test"], found["validation"]) == (kept["train"], kept["test"], kept["dev"])
    else:
        assert corpus.groups is not None
        train, validation = corpus.split_validation(0.3)
        sides = [set(corpus.groups[side].tolist()) for side in (train, validation, corpus.part("test"))]
        assert sum(map(len, sides)) == len(set.union(*sides))
    assert corpus.ids == [lines[row - 1][3] for row in corpus.rows[corpus.part("test")].tolist()]


def test_a_split_by_groups_does_not_move_when_rows_are_added(tmp_path: Path) -> None:
    def sides(values: Sequence[tuple[str, ...]], name: str) -> dict[int, int]:
        path = tmp_path / name
        path.write_bytes(table(values, header=("text", "label", "who")))
        corpus = read(path, group="who")
        assert corpus.groups is not None
        return dict(zip(corpus.groups.tolist(), corpus.parts.tolist(), strict=True))

    few = [(text, label, f"who {number // 2}") for number, (text, label) in enumerate(rows(60))]
    more = [*few, *((f"more {text}", label, f"who {number}") for number, (text, label) in enumerate(rows(60)))]
    before, after = sides(few, "a.csv"), sides(more, "b.csv")
    assert before.items() <= after.items()


def test_data_of_the_same_size_and_time_are_read_anew(tmp_path: Path) -> None:
    import os

    path = tmp_path / "a.csv"
    turned = [(text, {"pos": "neg", "neg": "pos"}[label]) for text, label in rows()]
    found = []
    for values in (rows(), turned):
        path.write_bytes(table(values))
        os.utime(path, (1, 1))
        found.append(read(path).labels.tolist())
    assert found[0] == [1 - label for label in found[1]]


def test_a_source_with_one_part_s_labels_alone_says_what_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table([("the same text", ("pos", "neg")[number % 2]) for number in range(400)]))
    with pytest.raises(DataError, match=r"its 400 rows hold 1 distinct text with both labels; at least three"):
        read(path)
    assert np.array_equal(replace(read_two(tmp_path)).labels, [1, 0])


def read_two(folder: Path) -> Corpus:
    """Two rows, read to be scored."""
    (folder / "two.csv").write_bytes(table([("a", "pos"), ("b", "neg")]))
    return load(DataSource(name=str(folder / "two.csv"), cache=folder / "cache"), for_scoring=True)


def test_of_few_texts_the_parts_are_drawn_from_each_class(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        table([(("😡👎", "😀👍")[side] * (number % 3 + 1), str(side)) for number in range(200) for side in (0, 1)])
    )
    corpus = read(path)
    train, validation = corpus.split_validation(0.1)
    for part in (train, validation, corpus.part("test")):
        assert set(corpus.labels[part].tolist()) == {0, 1}
        assert len(set(corpus.hashes[part].tolist())) == 2
    (warning,) = corpus.reading.warnings
    assert "drawn from each class" in warning


POSITIONS = np.array([0.1, 0.3, 0.5, 0.6, 0.7, 0.9])


@pytest.mark.parametrize(
    ("classes", "held"),
    [
        # By the threshold, as both sides hold both classes.
        ([0, 1, 1, 0, 1, 0], [0.1, 0.3]),
        # The lowest of each class.
        ([1, 1, 0, 0, 0, 0], [0.1, 0.5, 0.6]),
        ([1, 1, 1, 0, 1, 0], [0.1, 0.3, 0.6]),
        # There is no second one.
        ([1, 1, 1, 1, 1, 0], [0.1, 0.3]),
        ([1, 1, 1, 1, 1, 1], [0.1, 0.3]),
    ],
)
def test_what_is_held_out_holds_both_classes_where_that_can_be(classes: list[int], held: list[float]) -> None:
    assert POSITIONS[held_out(POSITIONS, np.array(classes, np.int8), 0.4)].tolist() == held


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), min_size=1, max_size=40), st.floats(0.01, 0.9))
def test_who_stands_together_is_held_out_together(rows: list[tuple[int, int]], share: float) -> None:
    positions = np.array([place / 10 for place, _ in rows])
    classes = np.array([side for _, side in rows], np.int8)
    held = held_out(positions, classes, share)
    assert not set(positions[held]) & set(positions[~held])
    below = positions < share
    if holds_both(classes[below]) and holds_both(classes[~below]):
        assert held.tolist() == below.tolist()
    pure = [set(positions[classes == side]) - set(positions[classes != side]) for side in (0, 1)]
    if all(len(each) >= 2 for each in pure) and len(set(positions)) == sum(map(len, pure)):
        assert holds_both(classes[held])
        assert holds_both(classes[~held])
