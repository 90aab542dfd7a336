"""Data of which one class is rare: what is said of them, and what helps."""

import logging
from pathlib import Path

import pytest

from job.errors import ConfigurationError
from job.presets import ClassWeight
from tests.conftest import table, train_here


def write(folder: Path, negatives: int) -> Path:
    """400 texts, so many of them negative; what a text ends with tells most of them."""
    path = folder / "reviews.csv"
    texts = [f"text {number} was {'bad' if number < negatives else 'good'}" for number in range(400)]
    path.write_bytes(table([(text, "neg" if number < negatives else "pos") for number, text in enumerate(texts)]))
    return path


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "accuracy says little" in record.getMessage()]


def test_a_rare_class_is_warned_of_and_weighted_on_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tensorflow")
    caplog.set_level(logging.WARNING)
    data = {"data": str(write(tmp_path, 40))}
    plain = train_here(tmp_path / "plain", tmp_path / "cache", options=data)
    (said,) = warnings(caplog)
    assert said == (
        "11 % of the training texts are negative: accuracy says little here (always answering positive gets 0.894); "
        "look at balanced accuracy and average precision, and consider --class-weight balanced"
    )
    assert plain["data"]["majority"]["label"] == "positive"
    assert said.startswith(plain["data"]["faults"][-1])
    page = (tmp_path / "plain" / "report.html").read_text()
    assert f"<li>{plain['data']['faults'][-1]}</li>" in page
    assert "labels by the rule: by name" in page
    counted = [plain["data"][f"{part}_reviews"] for part in ("train", "validation", "test", "left_out")]
    assert sum(counted) == plain["data"]["reading"]["rows"]
    assert "weighted_validation_loss" not in plain["architectures"]["rnn"]["runs"][0]
    caplog.clear()
    weighted = train_here(tmp_path / "weighted", tmp_path / "cache", options=data, class_weight=ClassWeight.balanced)
    (said,) = warnings(caplog)
    assert said.endswith("look at balanced accuracy and average precision")
    run = weighted["architectures"]["rnn"]["runs"][0]
    assert run["weighted_validation_loss"] != run["validation"]["loss"]
    assert run["train"]["recall"] < plain["architectures"]["rnn"]["runs"][0]["train"]["recall"]
    assert (plain["baseline"]["test"]["balanced_accuracy"], weighted["baseline"]["test"]["balanced_accuracy"]) == (1.0, 1.0)
    with pytest.raises(ConfigurationError, match="its class_weight is none, here balanced"):
        train_here(tmp_path / "plain", tmp_path / "cache", options=data, class_weight=ClassWeight.balanced)


def test_of_even_classes_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tensorflow")
    caplog.set_level(logging.WARNING)
    train_here(tmp_path / "output", tmp_path / "cache", options={"data": str(write(tmp_path, 100))})
    assert warnings(caplog) == []
