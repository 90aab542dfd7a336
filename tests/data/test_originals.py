"""Texts as they stand in their source: found again by row and words, of every kind of source that holds texts."""

from dataclasses import replace
from pathlib import Path

import pytest

from job.data import corpus, originals
from job.source import Columns, DataSource
from tests.conftest import rows, table, write_imdb

ODD = "It's GOOD, isn't it?\n“Naïve café” — <i>said</i> he…"


def keys(source: DataSource, part: str = "test") -> list[originals.Key]:
    """Of a part's reviews, in their order."""
    loaded = corpus.load(source)
    return [(int(loaded.rows[index]), int(loaded.hashes[index])) for index in loaded.part(part)]


@pytest.fixture
def beside(tmp_path: Path) -> DataSource:
    """A table whose test part lies in a second one."""
    (tmp_path / "train.csv").write_bytes(table(rows()))
    (tmp_path / "test.csv").write_bytes(table([("Bad, bad. BAD!", "neg"), (ODD, "pos")]))
    return DataSource(name=str(tmp_path / "train.csv"), cache=tmp_path / "cache", test=str(tmp_path / "test.csv"))


def test_a_text_is_found_by_its_row_with_all_that_stands_in_it(beside: DataSource) -> None:
    first, second = keys(beside)
    assert originals.find(beside, [second]) == {second: ODD}
    assert originals.find(beside, [first, second]) == {first: "Bad, bad. BAD!", second: ODD}


def test_texts_without_labels_do_not_come_between(beside: DataSource, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_bytes(table([("Unlabelled, this one.",)], header=("text",)))
    source = replace(beside, unlabelled=str(tmp_path / "more.csv"), columns=Columns(text="text"))
    assert originals.find(source, keys(source)[1:]) == {keys(source)[1]: ODD}


def test_the_texts_of_a_folder_and_of_the_embedded_corpus_are_found(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for side in ("neg", "pos"):
            (tmp_path / "set" / part / side).mkdir(parents=True)
            (tmp_path / "set" / part / side / "0_1.txt").write_text(f"This {part}: a {side}-review!<br />")
    folder = DataSource(name=str(tmp_path / "set"), cache=tmp_path / "cache")
    found = originals.find(folder, keys(folder))
    assert sorted(found.values()) == ["This test: a neg-review!<br />", "This test: a pos-review!<br />"]
    generated = DataSource(name="embedded", cache=tmp_path / "cache", distances=(3,))
    wanted = keys(generated)[:2]
    texts = originals.find(generated, wanted)
    assert set(texts) == set(wanted)
    assert all(text[0].isupper() and ": " in text and text.endswith(".") for text in texts.values())


def test_a_text_that_has_changed_or_is_gone_is_not_made_up_and_said(
    beside: DataSource, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = keys(beside)
    path = Path(beside.test or "")
    path.write_bytes(table([("Bad, no more!", "neg"), (ODD, "pos")]))
    assert set(originals.find(beside, [first, second])) == {second}
    assert "shows the words of 1 review instead of their texts" in caplog.text
    path.unlink()
    assert originals.find(beside, [first]) == {}
    assert "cannot be read again: " in caplog.text
    assert "test.csv" in caplog.text


def test_a_file_of_numbers_holds_no_texts_and_nothing_is_fetched_for_it(tmp_path: Path) -> None:
    source = DataSource(name=str(write_imdb(tmp_path)), cache=tmp_path / "cache")
    assert originals.find(source, keys(source)[:1]) == {}
    assert originals.find(DataSource(name="imdb", cache=tmp_path / "nowhere"), [(1, 2)]) == {}
    assert not (tmp_path / "nowhere").exists()
