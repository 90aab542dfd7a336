"""The report in a real browser: nothing leaves the page, hostile text stays text, and who cannot see it can read it."""

import json
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from job.commands import report
from job.presets import Hyperparameters
from tests.conftest import Command
from tests.report.conftest import Changed

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


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
    # It cannot tell contrasts on gradients, which mark what scrolls.
    page.add_style_tag(content=".scroll { background: var(--card) !important }")
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


@pytest.mark.parametrize(("cores", "said"), [(1, "cpu, 1 core)"), (2, "cpu, 2 cores)")])
def test_one_core_is_not_called_several(changed: Changed, cores: int, said: str) -> None:
    assert said in changed("metrics.json", lambda metrics: metrics["device"].update(cores=cores))


def test_texts_without_labels_are_counted_once(changed: Changed) -> None:
    page = changed("metrics.json", lambda metrics: metrics["data"].update(unlabelled_reviews=1234))
    assert page.count("1,234 without labels") == 1


def test_calibration_is_a_table_of_reviews_and_intervals(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    metrics = json.loads((finished / "metrics.json").read_text())
    shown = text[text.index('id="calibration"') :].split("</table>")
    for table, entry in zip(shown, metrics["architectures"].values(), strict=False):
        (best,) = [run for run in entry["runs"] if run["seed"] == entry["best_seed"]]
        bins = best["calibration"]["bins"]
        assert re.findall(r"</th><td>([\d,]+)</td>", table) == [f"{each['reviews']:,}" for each in bins]
        for each, (low, high) in zip(bins, re.findall(r"<td>([\d.]+) to ([\d.]+)</td>", table), strict=True):
            assert float(low) - 1e-4 <= each["observed"] <= float(high) + 1e-4
            assert float(high) > float(low)


def test_settings_are_told_in_words_and_each_one_folded(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    shown = text[text.index('id="settings"') :]
    told, folded = shown.split("<details>")
    assert "It trains for 2 epochs in batches of 256 reviews" in told
    row = '<th scope="row" class="text">optimizer<small><code>adam</code> or <code>rmsprop</code>.</small></th><td>adam</td><td>adam</td></tr>'
    assert row in folded
    assert folded.count('<th scope="row" class="text">') == len(fields(Hyperparameters))


def test_it_says_when_and_where_the_run_was_made(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text())
    text = (finished / "report.html").read_text()
    assert f">{record['start']}<" in text
    assert f">{record['end']}, after 0:" in text
    (start,) = record["starts"]
    assert f">{start['host']['name']}: {start['host']['processor']}, {start['host']['cores']} core" in text
