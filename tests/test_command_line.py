"""What every command shares: variables, the version, completion, and what a terminal may be."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import job
from job import command_line, options
from job.machine import signals
from tests.conftest import ROOT, Command


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("JOB_SEEDZ", "JOB_SEEDZ is not known and is ignored; did you mean JOB_SEEDS?"),
        ("JOB_LOGFORMAT", "JOB_LOGFORMAT is not known and is ignored; did you mean JOB_LOG_FORMAT?"),
        ("JOB_FLAVOUR", "JOB_FLAVOUR is not known and is ignored"),
    ],
)
def test_an_unknown_variable_is_warned_of_with_its_nearest_match(
    caplog: pytest.LogCaptureFixture, name: str, said: str
) -> None:
    options.warn_of_unknown_variables({name: "9", "HOME": "/", "JOBS": "4"})
    assert caplog.messages == [f"the environment variable {said}"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(
    "name",
    [
        "JOB_SEEDS", "JOB_LOG_FORMAT", "JOB_TERMINATION_LOG", "JOB_PYTHON", "JOB_COMPLETION_INDEX",
        "JOB_SERVICE_HOST", "JOB_SERVICE_PORT", "JOB_SERVICE_PORT_HTTP", "JOB_PORT", "JOB_PORT_80_TCP", "JOB_PORT_80_TCP_PROTO",
        "JOB_PORT_80_TCP_PORT", "JOB_PORT_53_UDP_ADDR", "JOB_API_SERVICE_HOST", "JOB_API_PORT_8501_TCP_ADDR",
    ],
)  # fmt: skip
def test_variables_of_ours_and_of_kubernetes_are_not(caplog: pytest.LogCaptureFixture, name: str) -> None:
    options.warn_of_unknown_variables({name: "9"})
    assert caplog.messages == []


def test_the_warning_is_a_json_line_where_lines_are_json(command: Command, tmp_path: Path) -> None:
    arguments = ("train", "--data", tmp_path / "none.csv", "--output", tmp_path / "o", "--log-format", "json")
    done = command(*arguments, env={"JOB_SEEDZ": "9"})
    assert done.returncode == 66
    first, *_ = [json.loads(line) for line in done.stderr.splitlines()]
    assert (
        first["message"] == "warning: the environment variable JOB_SEEDZ is not known and is ignored; did you mean JOB_SEEDS?"
    )


def test_the_version_is_told(command: Command) -> None:
    done = command("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sentiment-job {job.__version__}\n", "")


def test_a_shell_completes_commands_and_options(command: Command) -> None:
    def complete(line: str) -> list[str]:
        words = {"COMP_WORDS": f"sentiment-job {line}", "COMP_CWORD": str(len(line.split(" ")))}
        done = command(env=words | {"_SENTIMENT_JOB_COMPLETE": "complete_bash"})
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    assert complete("t") == ["train"]
    assert complete("train --learn") == ["--learning-rate"]
    assert complete("train --preset s") == ["seed", "standard", "semi"]


# With it, the shell is named and not looked for.
NAMED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


@pytest.mark.parametrize("term", ["dumb", "xterm-256color", "no-such-terminal", ""])
def test_completion_is_shown_whatever_the_terminal(command: Command, term: str) -> None:
    done = command("--show-completion", "bash", env=NAMED | {"TERM": term})
    assert done.returncode == 0
    assert "complete -o default -F _sentiment_job_completion sentiment-job" in done.stdout


def test_completion_is_installed_into_the_home(command: Command, tmp_path: Path) -> None:
    assert command("--install-completion", "bash", env=NAMED | {"HOME": str(tmp_path)}).returncode == 0
    assert "_SENTIMENT_JOB_COMPLETE=complete_bash" in (tmp_path / ".bash_completions" / "sentiment-job.sh").read_text()


def test_a_shell_that_cannot_complete_is_2_and_a_home_that_cannot_be_written_73(command: Command) -> None:
    for option in ("--show-completion", "--install-completion"):
        done = command(option, "tcsh", env=NAMED)
        assert done.returncode == 2
        assert "tcsh" in done.stdout + done.stderr
    done = command("--install-completion", "bash", env=NAMED | {"HOME": "/proc/nowhere"})
    assert done.returncode == 73
    assert done.stderr.startswith("error: /proc/nowhere: the completion cannot be written")


def test_a_reader_that_has_gone_is_74() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "job", "--version"], stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (74, b"error: standard output: writing failed (Broken pipe)\n")


def test_a_signal_that_native_code_caught_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised amid pydantic's or TensorFlow's own code, it may come out as an error of theirs."""

    def app(**_: Any) -> None:
        monkeypatch.setattr(signals, "_received", signal.SIGTERM)
        raise ValueError("Error building the validator: Interrupted: SIGTERM")

    monkeypatch.setattr(command_line, "app", app)
    with pytest.raises(signals.Interrupted) as caught:
        command_line.run()
    assert caught.value.exit_code == 143


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files", "/a"), 74, "no more than 17 files may be open here; raise the limit"),
        (
            ImportError("/lib/a.so: cannot open shared object file: Too many open files"),
            74,
            "no more than 17 files may be open",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "out of memory; lower --batch-size"),
        (RuntimeError("can't start new thread"), 1, "no more threads may be started here; raise the limit of processes"),
    ],
)
def test_a_limit_of_the_system_is_one_line(
    error: Exception, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def meet(**_: Any) -> None:
        raise error

    monkeypatch.setattr(command_line, "app", meet)
    monkeypatch.setattr("resource.getrlimit", lambda _: (17, 17))
    monkeypatch.setattr("sys.argv", ["sentiment-job", "train"])
    assert command_line.run() == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


@pytest.mark.parametrize(
    "error", [ImportError("cannot import name"), RuntimeError("of a library"), OSError(errno.EACCES, "no")]
)
def test_another_error_of_these_kinds_stays_a_defect(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def meet(**_: Any) -> None:
        raise error

    monkeypatch.setattr(command_line, "app", meet)
    monkeypatch.setattr("sys.argv", ["sentiment-job", "train"])
    with pytest.raises(type(error)):
        command_line.run()


def test_a_program_that_cannot_be_read_is_a_line() -> None:
    # The three standard streams and the pipe that signals come through, and no file more.
    script = (
        "import resource; import job.__main__ as main; resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5)); print(main.main())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "74\n"
    assert done.stderr.startswith("error: the program cannot be read ([Errno 24] Too many open files: ")
    assert len(done.stderr.splitlines()) == 1
