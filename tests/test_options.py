"""Every option of every command and every variable, at values that nobody means: an error of one line before anything is done."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import job.commands
from job import cli, command_line, options
from job.errors import MissingInputError

OUT_OF_RANGE = ("-1", "nan", "inf", "-inf", "1e308", str(10**30), "9" * 5000, "word", "1.5.1", "²", "", " ")
# What may come of a value: it is taken, or refused as wrong usage, as what is not there, or as a wrong configuration.
EXPECTED = {0, 2, 66, 78}
RUN = {"predict": ["none", "text"], "evaluate": ["none", "--data", "embedded"], "report": ["none"], "validate": ["none"]}
ARGUMENTS = RUN | {"train": ["--dry-run"], "merge": ["none", "--output", "none"]}


def commands(group: Any = None, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    top: Any = group or typer.main.get_command(cli.app)
    for name, each in top.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*before, name))
        else:
            yield (*before, name), each


OPTIONS = [
    (path, each) for path, command in commands() for each in command.params
    if each.param_type_name == "option" and not each.is_flag and each.name not in ("install_completion", "show_completion")
]  # fmt: skip
NUMBERS = [(path, each) for path, each in OPTIONS if each.type_descriptor.annotation in (int, float, list[int])]
PATHS = [(path, each) for path, each in OPTIONS if each.type_descriptor.annotation == Path]


class Stopped:
    """A command's work, which is not to begin."""

    OUTPUTS = (".csv",)

    def __getattr__(self, name: str) -> Any:
        raise MissingInputError("stopped before the work")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs a command in this process up to its work; returns its code and what it said."""
    for name in ("check", "data", "evaluate", "merge", "predict", "predict_table", "report", "validate"):
        monkeypatch.setattr(job.commands, name, Stopped(), raising=False)
    monkeypatch.setenv("COLUMNS", "6000")
    monkeypatch.setenv("JOB_TERMINATION_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JOB_WORKERS", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(path: tuple[str, ...], *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["sentiment-job", *path, *ARGUMENTS.get(path[0], []), *arguments])
        code = command_line.run()
        said = capsys.readouterr()
        assert len(said.out) < 100_000
        assert not list(Path.cwd().iterdir())
        return code, said.err

    return run


def check(code: int, said: str, what: str) -> None:
    assert code in EXPECTED, (what, said)
    # Usage errors of the command line library show the usage before, and a hint where help is.
    lines = [line for line in said.splitlines() if line.lower().startswith("error: ")]
    assert len(lines) == (code != 0), (what, said)
    assert code in (0, 2) or len(said.splitlines()) == 1, (what, said)


def test_the_options_are_found() -> None:
    found = {(*path, each.name) for path, each in NUMBERS}
    assert {("train", "seeds"), ("train", "learning_rate"), ("merge", "wait"), ("data", "inspect", "distance")} <= found
    assert {each.envvar for path, each in OPTIONS if path == ("train",)} == {f"JOB_{name.upper()}" for name in options.SETTINGS if name not in ("no_header", "require_fast_kernel")}  # fmt: skip


@pytest.mark.parametrize(("path", "option"), OPTIONS, ids=[" ".join([*path, each.opts[0]]) for path, each in OPTIONS])
def test_a_value_that_nobody_means_is_a_line_before_the_work(path: tuple[str, ...], option: Any, run: Any) -> None:
    for value in ("0", *OUT_OF_RANGE):
        code, said = run(path, f"{option.opts[0]}={value}")
        check(code, said, f"{option.opts[0]}={value[:40]}")


@pytest.mark.parametrize(("path", "option"), NUMBERS, ids=[" ".join([*path, each.opts[0]]) for path, each in NUMBERS])
def test_a_number_out_of_range_is_refused(path: tuple[str, ...], option: Any, run: Any) -> None:
    for value in OUT_OF_RANGE:
        code, said = run(path, f"{option.opts[0]}={value}")
        assert code in (2, 78), (value[:40], said)


@pytest.mark.parametrize(("path", "option"), PATHS, ids=[" ".join([*path, each.opts[0]]) for path, each in PATHS])
def test_an_empty_path_is_not_the_working_folder(path: tuple[str, ...], option: Any, run: Any) -> None:
    for value in ("", " "):
        code, said = run(path, f"{option.opts[0]}={value}")
        assert code == 2, said
        assert "is empty; expected a path" in said


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, value) for option in ("--workers", "--devices", "--threshold", "--shard") for value in ("-1", "nan", "inf", "1e308", str(10**30), "9" * 5000, "word", "", " ")],
)  # fmt: skip
def test_a_number_that_may_be_a_word_is_refused_as_well(option: str, value: str, run: Any) -> None:
    assert run(("train",), f"{option}={value}")[0] == 78


@pytest.mark.parametrize("name", [each.envvar for path, each in OPTIONS if path == ("train",)])
def test_a_variable_of_nonsense_is_a_line_and_an_empty_one_is_none(
    name: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in OUT_OF_RANGE:
        monkeypatch.setenv(name, value)
        code, said = run(("train",))
        check(code, said, f"{name}={value[:40]}")
        assert value or code == 0
