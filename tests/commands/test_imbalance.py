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
    counted = [plain["data"][f"{part}_reviews"] for part in ("train", "validation", "test", "unlabelled", "left_out")]
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


def test_a_threshold_is_chosen_kept_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tf = pytest.importorskip("tensorflow")
    from job.commands import evaluate, predict
    from job.output.finished import VerifiedRun
    from job.presets import ModelName
    from job.source import DataRequest, resolve_source

    data = str(write(tmp_path, 40))
    output, cache = tmp_path / "output", tmp_path / "cache"
    options = {"data": data, "threshold": "balanced"}
    made = train_here(output, cache, options=options, epochs=3, batch_size=32)
    half = train_here(tmp_path / "half", cache, options={"data": data}, epochs=3, batch_size=32)
    entry, plain = made["architectures"]["rnn"], half["architectures"]["rnn"]
    assert plain["threshold"]["rule"] == "given"
    assert (plain["threshold"]["value"], plain["threshold"]["test"]["accuracy"]) == (0.5, plain["runs"][0]["test"]["accuracy"])
    for found, before in ((entry, plain), (made["baseline"], half["baseline"])):
        assert found["threshold"]["rule"] == "balanced"
        better, worse = found["threshold"]["validation"], before["threshold"]["validation"]
        assert better["balanced_accuracy"] >= worse["balanced_accuracy"]
    assert entry["threshold"]["value"] > 0.5
    # The scores at one half, and the comparison, are those of any other run.
    assert entry["runs"][0]["test"] == plain["runs"][0]["test"]
    assert made["baseline"]["verdict"] == half["baseline"]["verdict"]
    assert (output / "predictions.csv").read_bytes() == (tmp_path / "half" / "predictions.csv").read_bytes()

    texts = ["text 7 was bad", "text 300 was good"]
    for name, value in (
        (ModelName.rnn, entry["threshold"]["value"]),
        (ModelName.baseline, made["baseline"]["threshold"]["value"]),
    ):
        (answers,) = predict.predict(predict.load(VerifiedRun.verify(output), name), [texts])
        assert [answer.label for answer in answers] == ["negative", "positive"]
        assert {answer.threshold for answer in answers} == {value}
        served = tf.saved_model.load(str(output / name / "saved_model")).signatures["serving_default"](text=tf.constant(texts))
        assert served["label"].numpy().tolist() == [b"negative", b"positive"]
        assert served["probability"].numpy().tolist() == pytest.approx([answer.probability for answer in answers], abs=1e-5)
    scored = evaluate.evaluate(output, resolve_source(DataRequest(cache=cache, data=data))).models[ModelName.rnn]
    assert scored.threshold == entry["threshold"]["value"]
    assert scored.not_trained_on is not None
    assert scored.not_trained_on.scores.accuracy == entry["threshold"]["test"]["accuracy"]

    with pytest.raises(ConfigurationError, match="its threshold is balanced, here f1"):
        train_here(output, cache, options=options | {"threshold": "f1"}, epochs=3, batch_size=32)
    # Another seed is decided by its own validation probabilities, and the first one's result stays.
    both = train_here(output, cache, seeds=2, options=options, epochs=3, batch_size=32)["architectures"]["rnn"]
    assert both["runs"][0]["threshold"] == entry["threshold"]
    assert both["threshold"] == both["runs"][both["best_seed"]]["threshold"]


def test_of_even_classes_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tensorflow")
    caplog.set_level(logging.WARNING)
    train_here(tmp_path / "output", tmp_path / "cache", options={"data": str(write(tmp_path, 100))})
    assert warnings(caplog) == []
