"""What `data inspect` finds."""

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


def test_the_same_text_in_train_and_test_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(as_tar([("same", "neg"), ("x", "pos"), ("same", "neg"), ("y", "pos")]))
    report = data.inspect(source(tmp_path / "a.tar.gz", tmp_path))
    assert report.test_texts_in_train == 1
    assert any("in the training part too" in fault for fault in report.faults)
