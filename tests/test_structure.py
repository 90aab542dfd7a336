"""The rules of the design that no type checker holds: who imports whom, and what is explained."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from job.config import Configuration
from job.presets import Hyperparameters
from tests.conftest import ROOT

# The files that compute; all others import TensorFlow late and through these, so that a command starts at once.
COMPUTING = {
    f"job.{name}"
    for name in (
        "files.native", "network.build", "network.cudnn", "network.export", "network.forward", "network.loops", "network.probe", "network.tokenizer",
        "output.tensorboard", "telemetry.served", "training.feed", "training.group", "training.loop", "training.optimizer",
    )
}  # fmt: skip
HEAVY = {"tensorflow", "keras", "matplotlib", "jinja2", "sklearn", "scipy", "pyarrow"}
MODULES = sorted((ROOT / "job").rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, top_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            files = {
                name
                for name in names
                if (ROOT / Path(*name.split("."))).with_suffix(".py").exists() or (ROOT / Path(*name.split("."))).is_dir()
            }
            found |= files or {node.module}
    return found


def test_imports_point_downwards_through_the_layers() -> None:
    """The layers are those of pyproject.toml."""
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("path", MODULES, ids=[module_name(path) for path in MODULES])
def test_only_the_parts_that_compute_import_tensorflow_at_the_top(path: Path) -> None:
    heavy = {each.split(".")[0] for each in imports(path, top_level=True)} & HEAVY
    assert not heavy or module_name(path) in COMPUTING | {"job.report.drawing", "job.report.plots"}
    if module_name(path) not in ("job.machine.device", "job.machine.runtime"):
        anywhere = {each.split(".")[0] for each in imports(path)} & {"tensorflow", "keras"}
        assert not anywhere or module_name(path) in COMPUTING


def test_only_the_command_line_knows_typer_and_its_variables() -> None:
    for path in MODULES:
        if module_name(path) not in ("job.cli", "job.options"):
            assert "typer" not in imports(path)
        if module_name(path) not in ("job.api", "job.cli", "job.command_line", "job.options", "job.platforms"):
            assert "JOB_" not in path.read_text()


@pytest.mark.parametrize("path", MODULES, ids=[module_name(path) for path in MODULES])
def test_a_file_is_one_thing(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 320


def test_every_setting_is_explained() -> None:
    for cls in (Hyperparameters, Configuration):
        assert cls.__doc__
    source = (ROOT / "job" / "presets.py").read_text()
    tree = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "Hyperparameters")
    fields = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    texts = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    assert len(texts) == len(fields) + 1
