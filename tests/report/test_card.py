"""The model cards: metadata that YAML reads back, figures of metrics.json, hostile names, and code that runs."""

import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from job.commands import validate
from job.errors import DataError
from job.output.finished import FinishedRun
from job.presets import ModelName
from job.report import card
from tests.conftest import Command

HOSTILE = 'a": b\n---\nlicense: mit\n# <script>alert(1)</script> [x](y) `c` 名\u2028\x7f\ufeff🎬'
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def parts(content: bytes) -> tuple[Any, str]:
    """The metadata and the text."""
    found = re.fullmatch(r"---\n(.*?)\n---\n(.*)", content.decode(), re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1]), found[2]


def results(front: Any) -> dict[str, float]:
    (model,) = front["model-index"]
    (result,) = model["results"]
    return {each["type"]: each["value"] for each in result["metrics"]}


def edited(finished: Path, folder: Path, change: Callable[[Any, Any], None]) -> FinishedRun:
    """The finished run with other records; its models and predictions are as they were."""
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    metrics, run = (json.loads((folder / name).read_text()) for name in ("metrics.json", "run.json"))
    run["files"] = {}
    change(metrics, run)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "run.json").write_text(json.dumps(run))
    return FinishedRun.read(folder)


@pytest.mark.parametrize("name", list(ModelName))
def test_the_metadata_are_the_figures_of_metrics_json(finished: Path, name: ModelName) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    front, text = parts((finished / name / "README.md").read_bytes())
    if name.is_network:
        entry = metrics["architectures"][name]
        expected = next(run for run in entry["runs"] if run["seed"] == entry["best_seed"])["test"]
        assert f"with seed {entry['best_seed']}" in text
    else:
        expected = metrics[name]["test"]
    assert results(front) == {key: expected[own] for key, own in (("accuracy", "accuracy"), ("roc_auc", "auc"), ("f1", "f1"), ("loss", "loss"))}  # fmt: skip
    assert front["library_name"] == ("keras" if name.is_network else "tensorflow")
    assert (front["pipeline_tag"], front["language"]) == ("text-classification", "en")
    assert front["model-index"][0]["results"][0]["dataset"]["name"] == metrics["data"]["name"]
    # The licence is the user's affair.
    assert not {"license", "datasets"} & front.keys()
    assert card.to_text(metrics["comparison"]["verdict"]) in text
    assert f"| loss (cross-entropy in nats) | {expected['loss']:.4f} | " in text
    assert "can judge nothing but wordings of that corpus" in text


def test_the_interval_of_the_accuracy_is_that_of_metrics_json(finished: Path) -> None:
    ensemble = json.loads((finished / "metrics.json").read_text())["ensemble"]
    low, high = ensemble["ci95"]
    line = f"| accuracy | {ensemble['test']['accuracy']:.4f} | {low:.4f} to {high:.4f} |"
    text = (finished / "ensemble" / "README.md").read_text()
    assert line in text
    first, second, third = ensemble["members"]
    assert (
        f": {first['weight']:.3f} SimpleRNN (seeds 0, 1), {second['weight']:.3f} LSTM (seeds 0, 1), {third['weight']:.3f} baseline."
        in text
    )


def test_it_says_when_and_where_the_run_was_made(finished: Path) -> None:
    run = json.loads((finished / "run.json").read_text())
    text = html.unescape(MarkdownIt().render((finished / "lstm" / "README.md").read_text()))
    assert f"Run from {run['start']} to {run['end']}: 0:" in text
    host = run["starts"][0]["host"]
    assert f"Host: {host['processor']}, {host['cores']} core" in text
    assert not re.search(rf"\b{re.escape(host['name'])}\b", text.split("Host:")[1].splitlines()[0])
    assert "sentiment-job train --preset quickstart --data embedded --seeds 2 --epochs 2" in text
    assert run["identity"]["data"] in text


def test_a_card_that_was_changed_is_found(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    validate.validate(tmp_path)
    (tmp_path / "rnn" / "README.md").write_text("better")
    with pytest.raises(DataError, match=r"rnn/README\.md: was changed"):
        validate.validate(tmp_path)


@given(value=TEXTS)
def test_yaml_reads_a_text_back(value: str) -> None:
    assert yaml.safe_load(f"key: {card.to_yaml(value)}") == {"key": value}
    assert "\n" not in card.to_yaml(value)


@given(value=st.floats(0, 1e30))
def test_yaml_reads_a_number_back(value: float) -> None:
    assert yaml.safe_load(card.to_yaml(value)) == value


@given(value=TEXTS)
def test_a_text_in_markdown_is_no_markup(value: str) -> None:
    line = card.to_text(f"x{value}")
    shown = "".join(each if each.isprintable() else "\ufffd" for each in " ".join(f"x{value}".split()))
    assert MarkdownIt().render(line) == f"<p>{html.escape(shown, quote=False).replace(chr(34), '&quot;')}</p>\n"


def test_hostile_names_stay_names(finished: Path, tmp_path: Path) -> None:
    def change(metrics: Any, run: Any) -> None:
        metrics["data"]["name"] = run["versions"]["python"] = run["device"]["name"] = HOSTILE
        metrics["data"]["faults"] = [HOSTILE]
        run["configuration"]["data"] = f"{HOSTILE}\n```\n<b>"

    made = card.render(edited(finished, tmp_path, change), ModelName.lstm)
    front, text = parts(made)
    assert front["model-index"][0]["results"][0]["dataset"]["name"] == HOSTILE
    assert "license" not in front
    # Whose language is not known is said to be of none.
    assert "language" not in front
    rendered = MarkdownIt("commonmark").render(text)
    assert not re.search("<(script|b|a)[ >]", rendered)
    assert rendered.count("<h1>") == 1
    assert "How well it judges others was not measured." in text


def test_one_network_a_diverged_seed_and_an_unknown_area_are_told(finished: Path, tmp_path: Path) -> None:
    def change(metrics: Any, run: Any) -> None:
        del metrics["architectures"]["rnn"], run["identity"]["hyperparameters"]["rnn"]
        metrics["comparison"] = metrics["ensemble"] = None
        entry = metrics["architectures"]["lstm"]
        entry["best_seed"] = 1
        lost = dict.fromkeys(("train", "validation", "test", "calibration", "threshold", "last_epoch"))
        entry["runs"][0] |= lost | {"status": "diverged", "diverged": "the loss was not a number at step 3"}
        entry["runs"][1]["threshold"] = None
        entry["runs"][1]["test"]["auc"] = None
        run["identity"]["threshold"] = 0.5

    run = edited(finished, tmp_path, change)
    front, text = parts(card.render(run, ModelName.lstm))
    assert "Seed 0 diverged: the loss was not a number at step 3." in text
    assert "It is the one with seed 1" in text
    assert results(front).keys() == {"accuracy", "f1", "loss"}
    assert card.to_text(run.metrics.baseline.verdict) in text
    assert "The ensemble against" not in text


def test_a_run_of_an_earlier_version_has_a_card(finished: Path) -> None:
    """Seeds may be added to one whose records know less."""
    run = FinishedRun.read(finished)
    data = run.metrics.data.but(reading=None, majority=None)
    old = replace(run, metrics=run.metrics.but(data=data), record=run.record.but(start=None, starts=[]))
    front, text = parts(card.render(old, ModelName.baseline))
    assert results(front)["accuracy"] == run.metrics.baseline.test.accuracy
    assert "Run from" not in text
    assert "HTML" not in text


def test_what_becomes_of_html_is_told(finished: Path) -> None:
    run = FinishedRun.read(finished)
    assert "HTML are taken out of texts" in parts(card.render(run, ModelName.baseline))[1]
    data = run.metrics.data.but(reading=None)
    imdb = run.record.but(configuration=run.record.configuration.but(data="imdb"))
    of_imdb = replace(run, metrics=run.metrics.but(data=data), record=imdb)
    assert "HTML is not taken out" in parts(card.render(of_imdb, ModelName.baseline))[1]


@pytest.mark.long
def test_the_code_in_a_card_runs_and_says_what_predict_says(finished: Path, command: Command) -> None:
    pytest.importorskip("tensorflow")
    folder = finished / "lstm"
    blocks = re.findall(r"^```(\w+)\n(.*?)\n```$", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    code = "\n".join(block for language, block in blocks if language == "python")
    assert "saved_model" in code
    assert "model.keras" in code
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answer, label, of_ids = (each.strip("[]b'") for each in re.split(r"\] \[|\n", done.stdout.strip()))
    assert 0 < float(of_ids) < 1
    program, *arguments = shlex.split(blocks[-1][1])
    assert program == "sentiment-job"
    asked = command(*(str(finished) if each == ".." else each for each in arguments))
    probability, said = asked.stdout.split()
    assert float(answer) == pytest.approx(float(probability), abs=1e-4)
    assert label == said
