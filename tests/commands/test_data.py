"""What `data inspect` finds."""

from dataclasses import replace
from pathlib import Path

from job.commands import data
from tests.conftest import rows, table
from tests.data.samples import as_tar, source


def test_faults_are_reported(tmp_path: Path) -> None:
    values = [*rows(), rows()[0], (rows()[1][0], "neg"), ("", "neg"), ("", "neg")]
    (tmp_path / "a.csv").write_bytes(table(values))
    report = data.inspect(source(tmp_path / "a.csv", tmp_path))
    assert report.train.duplicates + report.test.duplicates == 3
    assert report.train.empty + report.test.empty == 2
    assert any("both labels" in fault for fault in report.faults)
    assert report.test_texts_in_train == 0


def test_texts_without_labels_are_counted_apart_and_no_label_of_theirs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(rows()))
    (tmp_path / "u.txt").write_text("review bad\nquite other words here\nreview bad\n")
    report = data.inspect(replace(source(tmp_path / "a.csv", tmp_path), unlabelled=str(tmp_path / "u.txt")))
    assert report.unlabelled is not None
    assert (report.unlabelled.reviews, report.unlabelled.positive, report.unlabelled.tokens) == (2, None, 6)
    assert report.train.positive is not None
    assert report.test.positive is not None
    assert report.train.positive + report.test.positive == 20
    assert report.faults == [
        "67% of the words of the unlabelled texts are in no training text, so little can be learned from them"
    ]
    assert data.inspect(source(tmp_path / "a.csv", tmp_path)).unlabelled is None


def test_the_same_text_in_train_and_test_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(as_tar([("same", "neg"), ("x", "pos"), ("same", "neg"), ("y", "pos")]))
    report = data.inspect(source(tmp_path / "a.tar.gz", tmp_path))
    assert report.test_texts_in_train == 1
    assert any("in the training part too" in fault for fault in report.faults)
