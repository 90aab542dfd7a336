"""Names, words and labels of users' files on a terminal, in a log and in records."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job import progress
from job.machine import termination
from job.machine.terminal import visible
from job.presets import Architecture
from job.records.base import without_lone_surrogates
from tests.conftest import ROOT, Command, rows, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe – 价格 👩‍🔬 a\u00a0b", "Größe – 价格 👩‍🔬 a\u00a0b"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("two\nlines\r\tand \0", r"two\x0alines\x0d\x09and \x00"),
        ("\x7f\x85\x9b2J", r"\x7f\x85\x9b2J"),
        ("gpj.\u202etxt\u2028", r"gpj.\u202etxt\u2028"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\ud83d", r"\ud83d"),
    ],
)
def test_what_nobody_sees_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_what_is_shown_is_one_line_that_steers_nothing_and_can_be_written(text: str) -> None:
    shown = visible(text)
    assert not any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in shown)
    assert len(f"{shown}.".splitlines()) == 1
    shown.encode()
    assert visible(shown) == shown


def test_half_a_character_is_replaced_in_records_and_a_whole_one_joined() -> None:
    assert without_lone_surrogates(os.fsdecode(b"caf\xe9.csv")) == "caf\ufffd.csv"
    assert without_lone_surrogates("\ud83d\ude00!") == "😀!"
    assert without_lone_surrogates("é") == "é"


def test_a_log_line_is_one_line_and_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"a\x1b]0;x\x07\nerror: forged\xe9")
    ours = logging.LogRecord("job.data", logging.WARNING, "", 0, name, None, None)
    library = logging.LogRecord("py.warnings", logging.WARNING, "", 0, "one\n  two\x1b", None, None)
    progress.Display().log(ours)
    progress.Display().log(library)
    progress.JsonDisplay().log(ours)
    first, second, third, fourth = capsys.readouterr().err.splitlines()
    assert first == r"warning: a\x1b]0;x\x07\x0aerror: forged\xe9"
    assert [second, third] == ["warning: one", r"  two\x1b"]
    assert json.loads(fourth)["message"] == "warning: a\x1b]0;x\x07\nerror: forged\ufffd"


def test_the_termination_message_is_visible_text(tmp_path: Path) -> None:
    termination.leave(os.fsdecode(b"error: a\x1b caf\xe9"), str(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == r"error: a\x1b caf\xe9"


ESCAPED = "x\x1b[31m.csv"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("data", "inspect", "--data", ESCAPED), 0),
        (("data", "inspect", "--data", f"no-{ESCAPED}"), 66),
        (("predict", f"no-{ESCAPED}", "text"), 66),
        (("predict", "run", "--file", ESCAPED), 2),
        (("train", f"--{ESCAPED}"), 2),
        (("train", "--data", "embedded", "--text-column", ESCAPED), 78),
    ],
)
def test_no_command_sends_an_escape_to_a_terminal(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(ESCAPED).write_bytes(table([(f"{text} \x1b[5m", label) for text, label in rows(60)]))
    done = command(*arguments, env={"JOB_CACHE": str(tmp_path / "cache")})
    assert done.returncode == code
    assert "\x1b" not in done.stdout + done.stderr
    assert r"\x1b[31m" in done.stdout + done.stderr or code == 78


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
def test_a_standard_output_that_lacks_characters_gets_their_numbers(
    command: Command, finished: Path, tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "价格.csv"
    path.write_bytes(table(rows(60)))
    environment = {"PYTHONIOENCODING": encoding, "JOB_CACHE": str(tmp_path / "cache")}
    done = command("data", "inspect", "--data", path, env=environment)
    assert done.returncode == 0
    assert r"\u4ef7\u683c.csv" in done.stdout
    done = command("evaluate", finished, "--data", path, env=environment)
    assert done.returncode == 0, done.stderr


def test_a_table_is_utf8_whatever_the_standard_output_is(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,note\ngood,café\n")
    done = subprocess.run(
        [sys.executable, "-m", "job", "predict", str(finished), "--data", str(tmp_path / "t.csv")],
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0
    assert "good,café,".encode() in done.stdout


def test_names_are_no_markup(command: Command, finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "a[red]b[" / "c].csv"
    path.parent.mkdir()
    path.write_bytes(table(rows(60)))
    other = tmp_path / "[bold]x.csv"
    other.write_bytes(path.read_bytes())
    for each in (path, other):
        done = command("evaluate", finished, "--data", each, env={"JOB_CACHE": str(tmp_path / "cache")})
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{each.name}, all of it: 60 reviews")


def test_a_path_that_is_no_utf8_trains_to_the_end_though_warnings_are_errors(command: Command, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    path.write_bytes(table(rows(60)))
    small = ("--preset", "quickstart", "--epochs", "1", "--units", "4", "--architecture", "rnn", "--device", "cpu")
    done = command("train", "--data", path, "--output", tmp_path / "o", *small, env={"PYTHONWARNINGS": "error"})
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "o" / "metrics.json").read_text())["data"]["name"] == "caf\ufffd.csv"
    assert command("validate", tmp_path / "o").returncode == 0
    assert command("report", tmp_path / "o").returncode == 0


def test_an_output_that_is_no_utf8_is_73_before_anything_is_trained(command: Command, tmp_path: Path) -> None:
    output = tmp_path / os.fsdecode(b"o\xe9")
    done = command("train", "--preset", "quickstart", "--output", output)
    assert done.returncode == 73
    assert r"o\xe9: is no path in UTF-8, and TensorFlow writes to no other; choose another --output" in done.stderr
    assert not output.exists()


def run_python(script: str, redirections: str = "", **options: Any) -> "subprocess.CompletedProcess[str]":
    """As a shell starts it, with its standard streams as it is told."""
    call = ["sh", "-c", f'exec "$0" -c "$1" {redirections}', sys.executable, script]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("redirections", ["<&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_a_file_is_never_taken_for_a_closed_standard_stream(redirections: str, tmp_path: Path) -> None:
    # In this process and in those that it starts: native code writes to 2, whatever that is.
    tell = "open({0!r} + str(os.getpid()), 'w').write(f'{{min(os.dup(0), open(os.devnull).fileno())}} {{sys.stderr is None}}')"
    tell = tell.format(f"{tmp_path}/")
    child = f"import os, sys; {tell}"
    script = f"import os, subprocess, sys; from job.machine import terminal; terminal.set_up(); {tell}; print('lost', file=sys.stderr); sys.exit(subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
    done = run_python(script, redirections)
    assert (done.returncode, done.stderr) == (0, "" if "2>&-" in redirections else "lost\n")
    said = [path.read_text().split() for path in tmp_path.iterdir()]
    assert [int(number) > 2 for number, _ in said] == [True, True]
    assert [is_none for _, is_none in said] == ["False", "False"]


def test_errors_that_nobody_reads_end_nothing() -> None:
    """A reader that has ended, as of `| head -1`, and a full disk: in both formats the run goes on, and keeps its exit code."""
    script = """
import logging, os
from job import progress
from job.config import LogFormat
from job.machine import noise, signals, terminal
terminal.set_up()
progress.set_up_logging()
for log_format in (LogFormat.text, LogFormat.json):
    with progress.shown(log_format) as display, noise.without_noise():
        display.show("one")
        logging.getLogger("job.x").warning("two")
        os.write(2, b"three\\n")
signals.say("four")
print("done")
"""
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full:
        for where in (writer, full.fileno()):
            done = subprocess.run(
                [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=where, text=True, timeout=60
            )
            assert (done.returncode, done.stdout) == (0, "done\n")
    os.close(writer)


def test_a_live_display_outlives_its_terminal() -> None:
    script = """
import os, sys, time
from job import progress
from job.config import LogFormat
from job.machine import terminal
terminal.set_up()
with progress.shown(LogFormat.auto) as display:
    assert isinstance(display, progress.LiveDisplay)
    display.phase("waiting")
    # Not printed: that would be drawn.
    os.write(1, b"up\\n")
    sys.stdin.readline()
    display.show("one")
    # Its thread draws, too.
    time.sleep(0.3)
    display.phase("going on")
print("done")
"""
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT, env=os.environ | {"TERM": "xterm"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=slave, text=True,
    )  # fmt: skip
    os.close(slave)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.close(master)
    said, _ = process.communicate("\n", timeout=60)
    assert (process.returncode, said) == (0, "done\n")


def test_a_closed_standard_input_is_66(tmp_path: Path) -> None:
    script = f"import sys; sys.argv = ['x', 'predict', {str(tmp_path)!r}, '--file', '-']; from job.__main__ import main; sys.exit(main())"
    done = run_python(script, "<&-")
    assert (done.returncode, done.stderr) == (66, "error: standard input: is closed; expected one text a line\n")


def test_a_name_in_a_run_that_somebody_else_made_is_no_markup_in_the_closing_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from job import tables
    from job.output.finished import VerifiedRun
    from job.records.memory import Memory, MemoryLimit, MemoryNetwork, MemoryPoint
    from job.records.trials import Summary
    from tests.output.samples import write_run

    none = Summary(mean=None, sd=None, ci95=None)
    point = MemoryPoint(distance=5, diverged=0, test_accuracy=none, above_chance=0, learned=0, steps_until_learned=none, gradient_norms=[])  # fmt: skip
    network = MemoryNetwork(
        architecture=Architecture.rnn,
        remedy="[red]\x1b[2J",
        points=[point],
        limit=MemoryLimit(seeds=[], tokens=None, ci95=None),
    )
    memory = Memory(distances=[5], networks=[network], bag_of_words=[], verdict="[bold]\x1b[2J\u202e")
    metrics = VerifiedRun.verify(write_run(tmp_path / "run")).metrics.but(dependency=memory)
    tables.print_summary(metrics, tmp_path)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert r"[red]\x1b[2J" in printed
    assert r"[bold]\x1b[2J\u202e" in printed
