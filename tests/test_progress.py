"""What a person sees while the job runs, and at its end, on terminals of any width."""

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from job import cli, options, tables
from job.progress import LiveDisplay, describe
from job.records.history import Epoch
from job.training.desk import Label
from job.training.position import Position

EPOCH = Epoch(
    epoch=3, loss=0.12345, accuracy=0.91, validation_loss=0.2, validation_accuracy=0.9, learning_rate=0.1, seconds=61.26, tokens_per_second=251_428.4
)  # fmt: skip


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (None, "epoch 3/5, loss 0.1235, accuracy 0.9100, validation loss 0.2000, validation accuracy 0.9000, 251,428 tokens/s, 61.3 s"),
        (109, "epoch 3/5, loss 0.1235, accuracy 0.9100, validation loss 0.2000, validation accuracy 0.9000, 61.3 s"),
        (80, "epoch 3/5, loss 0.1235, accuracy 0.9100, validation accuracy 0.9000, 61.3 s"),
        (40, "epoch 3/5, validation accuracy 0.9000"),
        (5, "epoch 3/5"),
    ],
)  # fmt: skip
def test_an_epoch_s_line_keeps_the_most_telling_figures(width: int | None, line: str) -> None:
    assert describe(EPOCH, 5, width) == line


class Screen:
    """A live display on a terminal of so many columns."""

    def __init__(self, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stream = io.StringIO()
        console = Console(file=self.stream, width=width, force_terminal=True, color_system=None)
        monkeypatch.setattr("rich.console.Console", lambda **_: console)
        self.display, self.console = LiveDisplay(), console

    def lines(self) -> list[str]:
        """Of the bars, as they stand."""
        with self.console.capture() as captured:
            self.console.print(self.display.bar.get_renderable())
        return captured.get().splitlines()


@pytest.mark.parametrize(("width", "figures"), [(80, 1), (100, 2), (140, 3)])
def test_bars_have_room_a_share_and_an_end_in_sight(width: int, figures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, label = Screen(width, monkeypatch), Label("lstm", 12)
    screen.display.plan({label: 3.0, Label("rnn", 12): 1.0})
    screen.display.start(label, 10)
    position = Position(epoch=6, step=0, loss_sum=1.5, correct=3, reviews=4, tokens=100_000, seconds=0.5)
    screen.display.step(label, position, 7)
    one, whole = screen.lines()
    assert one.startswith("lstm seed 12, epoch 6/10 ")
    assert " 50% " in one
    assert len(one) <= width
    assert one.count("━") + one.count("╸") + one.count("╺") >= 15
    assert [word in one for word in ("loss 0.3750", "accuracy 0.7500", "200,000 tokens/s")] == [True] * figures + [False] * (3 - figures)  # fmt: skip
    assert re.search(r"^all trainings .* 38% .*0 of 2 done", whole)


def test_after_the_last_epoch_the_bar_names_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(80, monkeypatch)
    screen.display.phase("exporting")
    screen.display.phase("writing the results")
    (line,) = screen.lines()
    assert line.startswith("writing the results ━")
    screen.display.phase(None)
    assert screen.lines() in ([], [""])
    screen.display.start(Label("rnn", 0), 5)
    screen.display.epoch(Label("rnn", 0), EPOCH)
    assert "rnn seed 0: epoch 3/5, loss 0.1235, accuracy 0.9100, validation accuracy 0.9000\n" in screen.stream.getvalue()


def test_a_dry_run_says_how_each_setting_is_set() -> None:
    plan = json.loads(CliRunner().invoke(cli.app, ["train", "--dry-run"]).stdout)
    assert plan["set_by"]["epochs"] == "--epochs or JOB_EPOCHS"
    command: Any = __import__("typer").main.get_command(cli.app)
    known = {each.envvar for each in command.commands["train"].params if each.envvar}
    assert {text.split(" or ")[1] for text in plan["set_by"].values()} == known


def test_help_texts_have_no_stray_blanks() -> None:
    for text, default in options._TEXTS.values():
        for each in (text, default or ""):
            assert not re.search(r" [.,;:)](\s|$)|\s\s|\( ", each), each


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ({"works": True, "problem": None, "names": ["H100"], "driver": None}, ["GPU: works", "names: H100"]),
        ({"works": None, "problem": "none found", "names": []}, ["GPU: none; none found"]),
        ({"works": False, "problem": "too old", "together": {"processes": 2, "works": False, "error": "hangs"}}, ["GPU: does not work; too old", "sum over 2 processes: hangs"]),
    ],
)  # fmt: skip
def test_check_says_first_whether_it_works_and_nothing_of_what_is_absent(
    values: dict[str, Any], first: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tables.print_check(values)
    assert capsys.readouterr().out.splitlines() == first
