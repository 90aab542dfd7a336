"""The report in a real browser: nothing leaves the page, hostile text stays text, and who cannot see it can read it."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from job.commands import report
from job.output.results import TrialResult, Trials
from job.presets import Architecture
from job.records.trials import ArchitectureRecord, Scores, Summaries, Summary
from job.report import examples, plots
from tests.conftest import Command
from tests.output.test_folder import record

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*quiet, *(["--no-sandbox"] if os.getuid() == 0 else [])]
        )
        yield started
        started.close()


@pytest.fixture
def hostile(finished: Path, tmp_path: Path) -> Path:
    """A run whose reviews, names and versions hold what a browser would run."""
    folder = tmp_path / "run<b>"
    shutil.copytree(finished, folder)
    run = json.loads((folder / "run.json").read_text())
    run["files"].pop("examples.json")
    run["versions"]["python"] = run["configuration"]["data"] = HOSTILE
    (folder / "run.json").write_text(json.dumps(run))
    chosen = json.loads((folder / "examples.json").read_text())
    chosen["texts"] = dict.fromkeys(chosen["texts"], HOSTILE)
    assert chosen["texts"]
    (folder / "examples.json").write_text(json.dumps(chosen))
    assert report.write([folder]) == folder / "report.html"
    return folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_opens_from_disk_asks_for_nothing_and_fits(browser: Any, hostile: Path, scheme: str, width: int) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: told.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    page.goto(hostile.as_uri().replace("<", "%3C"))
    page.locator("details").last.evaluate("each => each.open = true")
    assert told == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("script, img, iframe, object, b").count() == 0
    assert "owned" not in page.title()
    assert page.locator("blockquote").first.inner_text() == HOSTILE
    # The colours are the scheme's.
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 251, 250)"
    assert light == (scheme == "light")
    assert page.locator("figure svg").count() == 7
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_accessibility_check_finds_nothing(browser: Any, hostile: Path, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(color_scheme=scheme)
    page.goto(hostile.as_uri().replace("<", "%3C"))
    page.locator("details").evaluate_all("all => all.forEach(each => each.open = true)")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()


def test_the_verdict_comes_first_and_the_figures_are_those_of_the_metrics(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    metrics = json.loads((finished / "metrics.json").read_text())
    shown = text[text.index("<body>") :]
    assert shown.index('class="verdict"') < shown.index("<table>")
    for entry in metrics["architectures"].values():
        assert f"{entry['summary']['test_accuracy']['mean']:.4f}" in shown
    assert metrics["data"]["sha256"] in shown
    assert "--preset quickstart --data embedded --seeds 2 --epochs 2 --batch-size 256 --units 8" in shown


def test_a_report_is_written_again_as_it_was_and_the_run_stays_valid(command: Command, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "output")
    before = (tmp_path / "output" / "report.html").read_bytes()
    (tmp_path / "output" / "report.html").write_text("spoiled")
    done = command("report", tmp_path / "output")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'output' / 'report.html'}\n"
    assert (tmp_path / "output" / "report.html").read_bytes() == before
    assert command("validate", tmp_path / "output").returncode == 0


def test_runs_are_compared_where_their_test_reviews_are_the_same(
    command: Command, finished: Path, tmp_path: Path, browser: Any
) -> None:
    for name in ("one", "two"):
        shutil.copytree(finished, tmp_path / name)
    done = command("report", tmp_path / "one", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "one" / "comparison.html").read_text()
    assert text.count("No difference between") == 2
    page = browser.new_page()
    page.goto((tmp_path / "one" / "comparison.html").as_uri())
    assert page.locator("tbody tr").count() == 6
    page.close()
    assert command("validate", tmp_path / "one").returncode == 0
    assert command("report", tmp_path / "nowhere").returncode == 66


def test_thresholds_are_a_table_of_test_scores_in_which_the_run_s_own_is_marked(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    metrics = json.loads((finished / "metrics.json").read_text())
    tables = text[text.index('id="thresholds"') :].split("</table>")[:4]
    entries = [*metrics["architectures"].values(), metrics["baseline"], metrics["ensemble"]]
    for table, entry in zip(tables, entries, strict=True):
        (row,) = re.findall(r'<tr class="chosen"><th scope="row">0\.5, this run’s</th>(.*?)</tr>', table)
        test = entry["threshold"]["test"]
        shown = [test[key] for key in ("precision", "recall", "f1", "accuracy", "balanced_accuracy")]
        assert re.findall(r"<td>(.*?)</td>", row) == [f"{value:.4f}" for value in shown]
        assert re.findall(r'<th scope="row">(0\.\d)', table) == [f"0.{tenth}" for tenth in range(1, 10)]
    assert text.count("0.5 was given.") == 4
    assert 'id="figure-precision-recall"' in text


def upright_reach(paint: plots.Paint) -> tuple[float, float]:
    """The ends of a figure's upright axis, and of all that is drawn on it."""
    axes = Figure().subplots()
    paint(axes)
    drawn = [np.asarray(line.get_ydata()) for line in axes.lines]
    drawn += [np.asarray(path.vertices)[:, 1] for each in axes.collections for path in each.get_paths()]
    values = np.concatenate([np.array(axes.get_ylim()), *drawn])
    return float(values.min()), float(values.max())


def test_no_accuracy_is_drawn_beyond_0_to_1_even_of_a_run_whose_interval_was() -> None:
    found = [Scores(accuracy=accuracy, loss=0.1, auc=None, f1=0.5, brier=0.1) for accuracy in (0.92, 1.0)]
    runs = [record(seed).but(test=test) for seed, test in enumerate(found)]
    summary = Summaries(test_accuracy=Summary(mean=0.96, sd=0.057, ci95=(0.45, 1.47)))
    entry = ArchitectureRecord(best_seed=0, runs=runs, summary=summary)
    low, high = upright_reach(plots.accuracies({Architecture.rnn: entry}, 1.0))
    assert 0.4 < low < 0.45
    assert high == 1.0
    right = {Architecture.lstm: np.ones(16), Architecture.rnn: np.zeros(16)}
    assert upright_reach(plots.by_length(np.arange(1, 17), right)) == (0.0, 1.0)


def test_examples_are_the_reviews_that_are_most_wrong_and_most_disputed() -> None:
    labels = np.array([0, 1, 0, 1, 1], np.int8)
    trials = Trials()
    for name, seed, probabilities in (
        ("lstm", 0, [0.1, 0.9, 0.6, 0.2, 0.9]), ("lstm", 1, [0.1, 0.9, 0.8, 0.0, 0.9]), ("rnn", 0, [0.9, 0.8, 0.1, 0.4, 0.6])
    ):  # fmt: skip
        trials.add(Architecture(name), TrialResult(record(seed), [], np.array(probabilities, np.float32), None))
    texts = ["a", "b", "c" * 2000, None, "e"]
    found = examples.choose(labels, trials, lambda number: texts[number], np.array([1, 2, 3, 4, 5]))
    # Review 3 is wronger still, but nobody knows its text.
    assert found.most_wrong == {"lstm": [2], "rnn": [0]}
    assert found.disagreements == [0, 2]
    assert found.texts == {"0": "a", "2": "… " + "c" * 1200}
    assert found.lengths == [1, 2, 3, 4, 5]


def test_tensorboard_opens_the_event_files_of_each_training(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    for name in ("rnn", "lstm"):
        rows = (finished / name / "history.csv").read_text().splitlines()
        header = rows[0].split(",")
        for seed in (0, 1):
            epochs = [dict(zip(header, row.split(","), strict=True)) for row in rows[1 + 2 * seed : 3 + 2 * seed]]
            events = EventAccumulator(str(finished / "tensorboard" / name / f"seed-{seed}"))
            events.Reload()
            assert set(events.Tags()["tensors"]) == {
                "loss/training", "loss/validation", "accuracy/training", "accuracy/validation", "learning_rate", "tokens_per_second",
            }  # fmt: skip
            for tag, column in (("loss/training", "loss"), ("accuracy/validation", "validation_accuracy")):
                for number, (event, history) in enumerate(zip(events.Tensors(tag), epochs, strict=True), start=1):
                    assert event.step == number
                    told = float(tensor_util.make_ndarray(event.tensor_proto))
                    assert told == pytest.approx(float(history[column]), rel=1e-6)
