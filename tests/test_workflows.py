"""The workflows of the repository's host: well formed, with few rights, and nothing in them that somebody may replace."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def lint(*paths: Path) -> "subprocess.CompletedProcess[str]":
    # Whatever ShellCheck and the like a machine has: the same everywhere.
    program = [str(Path(sys.executable).with_name("actionlint")), "-shellcheck=", "-pyflakes=", "-no-color"]
    return subprocess.run([*program, *paths], cwd=ROOT, capture_output=True, text=True)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_actionlint_finds_nothing() -> None:
    assert {path.name for path in WORKFLOWS} == {"ci.yml", "release.yml"}
    done = lint(*WORKFLOWS)
    assert (done.returncode, done.stdout) == (0, "")


def test_actionlint_finds_what_is_wrong(tmp_path: Path) -> None:
    content = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "matrix.python }}" in content
    (tmp_path / "ci.yml").write_text(content.replace("matrix.python }}", "matrix.snake }}"))
    done = lint(tmp_path / "ci.yml")
    assert done.returncode == 1
    assert 'property "snake" is not defined' in done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: *(.*)", path.read_text())
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_an_action_is_of_one_version_everywhere() -> None:
    used = {each for path in WORKFLOWS for each in re.findall(r"uses: *(\S+)", path.read_text())}
    assert len(used) == len({each.split("@")[0] for each in used})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_the_source_and_only_a_release_may_sign(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    asked = {right for job in workflow["jobs"].values() for right in job.get("permissions", {})}
    assert asked == ({"contents", "id-token", "attestations", "packages"} if path.name == "release.yml" else set())
    for job in workflow["jobs"].values():
        assert job.get("permissions", {}).get("contents", "read") == "read"
        # What a step of somebody else's may find is no token.
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}


def test_ci_tries_every_python_that_the_package_is_for() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.11,<3.14"' in project
    (job,) = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"].values()
    assert job["strategy"]["matrix"] == {"python": ["3.11", "3.12", "3.13"]}
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_what_a_release_needs_to_know_is_told() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    named = set(re.findall(r"\b(?:vars|secrets)\.(\w+)", text))
    assert named == {"REGISTRY", "IMAGE", "REGISTRY_USER", "REGISTRY_PASSWORD"}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert not {each for each in named if f"`{each}`" not in contributing}
