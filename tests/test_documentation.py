"""What the documentation says is what the program does, and where it points there is something."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from job import cli
from job.errors import JobError
from tests.conftest import ROOT

CONTRACT = (ROOT / "job" / "README.md").read_text()
FOLDERS = ("", ".github", "docker", "job", "k8s", "k8s/components", "scripts", "tests")
MARKDOWN = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
# What it says of the past need not be there any more.
CURRENT = [path for path in MARKDOWN if path.name != "CHANGELOG.md"]
ROOMS = sorted(path.parent for path in (ROOT / "job").glob("*/__init__.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands() -> Iterator[tuple[str, Any]]:
    group: Any = typer.main.get_command(cli.app)
    for outer, command in group.commands.items():
        for inner, each in getattr(command, "commands", {"": command}).items():
            yield f"{outer} {inner}".strip(), each


def options(command: Any) -> Iterator[tuple[str, Any]]:
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                yield option, parameter


def default(parameter: Any) -> str:
    """As a reader wants it: in words, where the value itself does not say it."""
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value = parameter.default
    return "" if value is None or value is False else f"`{getattr(value, 'value', value)}`"


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", without_code(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_help_is_the_programs() -> None:
    printed = CliRunner(env={"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}).invoke(cli.app, ["--help"]).stdout
    lines = [line.strip(" │╭╮╰╯─") for line in printed.splitlines()]
    assert [line for line in CONTRACT.split("```\n")[1].splitlines() if line] == [line for line in lines if line]


@pytest.mark.parametrize("command", [command for command, _ in commands()])
def test_every_command_has_a_row_that_names_its_options(command: str) -> None:
    (row,) = re.findall(rf"^\| `{command}\b.*$", CONTRACT, re.MULTILINE)
    if command != "train":
        missing = [option for option, _ in options(dict(commands())[command]) if f"`{option}" not in row]
        assert not missing


def test_every_option_of_train_stands_with_its_variable_its_help_and_its_default() -> None:
    rows = [
        f"| `{option}` | {f'`{parameter.envvar}`' if parameter.envvar else ''} | {parameter.help} | {default(parameter)} |"
        for option, parameter in options(dict(commands())["train"])
    ]
    table = CONTRACT.split("| option | variable | meaning | default |\n|---|---|---|---|\n")[1].split("\n\n")[0]
    assert re.sub(" +", " ", table).splitlines() == [re.sub(" +", " ", row) for row in rows]


def test_every_variable_that_the_program_reads_is_named() -> None:
    read = {
        variable
        for path in (ROOT / "job").rglob("*.py")
        for variable in re.findall(r"\bJOB_[A-Z]+(?:_[A-Z]+)*\b", path.read_text())
    }
    assert read >= {"JOB_TERMINATION_LOG"}
    assert not {variable for variable in read if f"`{variable}`" not in CONTRACT}


def test_every_exit_code_is_in_the_table_and_no_other() -> None:
    kinds: list[type[JobError]] = [JobError, *JobError.__subclasses__()]
    codes = {kind.exit_code for kind in kinds} | {0, 2, 143, 130, 129}
    table = CONTRACT.split("## Exit codes")[1].split("\n\n")[1]
    assert {int(code) for code in re.findall(r"^\| (\d+) ", table, re.MULTILINE)} == codes


def test_every_file_of_the_output_folder_is_named(finished: Path) -> None:
    tree = CONTRACT.split("## The output folder")[1].split("```")[1]
    files = [path.relative_to(finished) for path in finished.rglob("*") if path.is_file()]
    # What lies in these two is the business of the libraries that write them.
    ours = [path for path in files if not {"saved_model", "tensorboard"} & set(path.parts)]
    names = {path.name for path in ours} | {f"{path.parts[0]}/" for path in files if len(path.parts) > 1} | {"saved_model/"}
    assert names >= {"metrics.json", "model.keras", "rnn/", "tensorboard/"}
    of_other_presets, of_unfinished_runs = {"word_index.json", "dependency.svg"}, {"checkpoints/", "shards/", ".lock"}
    assert not {each for each in names | of_other_presets | of_unfinished_runs if each not in tree}


def test_no_file_is_named_that_the_program_does_not_write() -> None:
    tree = CONTRACT.split("## The output folder")[1].split("```")[1]
    source = "".join(path.read_text() for path in (ROOT / "job").rglob("*.py"))
    assert not {each for each in re.findall(r"^([\w.]+)\s{2,}", tree, re.MULTILINE) if f'"{each}"' not in source}


@pytest.mark.parametrize("room", ROOMS, ids=[room.name for room in ROOMS])
def test_every_room_has_a_paragraph_that_names_its_files(room: Path) -> None:
    (paragraph,) = re.findall(rf"^\*\*`{room.name}/`\*\*.*$", CONTRACT, re.MULTILINE)
    assert set(re.findall(r"`(\w+\.py)`", paragraph)) == {path.name for path in room.glob("*.py")} - {"__init__.py"}
    picture = CONTRACT.split("## Structure")[1].split("```")[1]
    assert f"{room.name}/" in picture


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 9 * 1024


@pytest.mark.parametrize("path", MARKDOWN, ids=name)
def test_every_link_within_the_repository_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text())):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("path", CURRENT, ids=name)
def test_every_script_and_file_that_a_text_names_exists(path: Path) -> None:
    text = path.read_text()
    called = [module.replace(".", "/") for module in re.findall(r"-m (scripts\.[a-z_]+\.[a-z_]+(?:\.[a-z_]+)?)", text)]
    files = [f"{each}/__main__.py" if (ROOT / each).is_dir() else f"{each}.py" for each in called]
    # From the root of the repository, or beside the text. To kubectl, job/sentiment-job-gpu is no file.
    folders = r"scripts|job(?!/sentiment-job)|tests|docker|k8s|\.ci|\.github"
    files += re.findall(rf"(?<![\w./$-])((?:{folders})/[\w./-]*\w)", text)
    missing = {file for file in files if not (ROOT / file).exists() and not (path.parent / file).exists()}
    assert not missing


def test_the_packages_readme_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / project["readme"]).exists()
