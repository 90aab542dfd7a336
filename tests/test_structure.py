"""The rules of the design that no type checker holds: who imports whom, and what is explained."""

import ast
from pathlib import Path

import pytest

from job.config import Configuration
from job.presets import Hyperparameters
from tests.conftest import ROOT

# Which modules of the package a module may import; all may import config, presets and errors.
ALLOWED = {
    "job": set(),
    "job.config": set(),
    "job.errors": set(),
    "job.presets": set(),
    "job.signals": set(),
    "job.atomic": set(),
    "job.__main__": {"job.signals", "job.cli"},
    "job.termination": set(),
    "job.options": set(),
    "job.validation": {"job.artifacts", "job.schema"},
    "job.cli": {
        "job.options",
        "job.validation",
        "job.signals",
        "job.termination",
        "job.environment",
        "job.run",
        "job.merging",
        "job.prediction",
        "job.report",
        "job.progress",
        "job.device",
        "job.artifacts",
        "job.assessment",
        "job.data",
    },
    "job.environment": {"job.atomic"},
    "job.noise": set(),
    "job.provenance": set(),
    "job.schema": set(),
    "job.run": {
        "job.environment",
        "job.provenance",
        "job.schema",
        "job",
        "job.baseline",
        "job.device",
        "job.distances",
        "job.data",
        "job.examples",
        "job.export",
        "job.prediction",
        "job.report",
        "job.tensorboard",
        "job.results",
        "job.trial",
        "job.artifacts",
        "job.progress",
    },
    "job.export": {"job.data", "job.models"},
    "job.prediction": {"job.validation", "job.artifacts", "job.data", "job.device", "job.evaluation", "job.models"},
    "job.assessment": {"job.artifacts", "job.comparison", "job.data", "job.evaluation", "job.prediction"},
    "job.examples": set(),
    "job.plots": set(),
    "job.tensorboard": set(),
    "job.report": {
        "job.artifacts",
        "job.comparison",
        "job.dependency",
        "job.examples",
        "job.plots",
        "job.provenance",
        "job.results",
        "job.validation",
        "job",
    },
    "job.merging": {"job.examples", "job.report", "job.validation", "job.artifacts", "job.progress", "job.results", "job"},
    "job.baseline": {"job.data", "job.evaluation"},
    "job.comparison": set(),
    "job.results": {
        "job.validation",
        "job.artifacts",
        "job.comparison",
        "job.dependency",
        "job.evaluation",
        "job.schema",
        "job",
    },
    "job.dependency": {"job.evaluation"},
    "job.distances": {"job.artifacts", "job.baseline", "job.data", "job.evaluation", "job"},
    "job.optimizers": set(),
    "job.trial": {
        "job.artifacts",
        "job.checkpoints",
        "job.data",
        "job.evaluation",
        "job.feed",
        "job.models",
        "job.optimizers",
        "job.progress",
        "job.signals",
        "job.training",
    },
    "job.device": {"job.noise"},
    "job.kernels": set(),
    "job.cudnn": set(),
    "job.feed": set(),
    "job.network.probe": {"job.cudnn", "job.device", "job.kernels"},
    "job.models": {"job.cudnn", "job.kernels"},
    "job.training": {"job.feed"},
    "job.evaluation": set(),
    "job.predictions": set(),
    "job.artifacts": {"job.atomic", "job.checkpoints", "job.lock", "job.predictions"},
    "job.checkpoints": {"job.atomic"},
    "job.lock": {"job.atomic"},
    "job.progress": set(),
    "job.data": {"job.atomic", "job.data", "job.lock"},
}
COMPUTING = {
    "job.export",
    "job.feed",
    "job.cudnn",
    "job.kernels",
    "job.models",
    "job.optimizers",
    "job.network.probe",
    "job.tensorboard",
    "job.training",
}
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


def part(name: str) -> str:
    return "job.data" if name.startswith("job.data") else name


@pytest.mark.parametrize("path", MODULES, ids=[module_name(path) for path in MODULES])
def test_imports_point_downwards_only(path: Path) -> None:
    name = part(module_name(path))
    ours = {part(each) for each in imports(path) if each == "job" or each.startswith("job.")}
    assert ours - {"job.config", "job.presets", "job.errors"} <= ALLOWED[name]


@pytest.mark.parametrize("path", MODULES, ids=[module_name(path) for path in MODULES])
def test_only_the_parts_that_compute_import_tensorflow_at_the_top(path: Path) -> None:
    heavy = {each.split(".")[0] for each in imports(path, top_level=True)} & {
        "tensorflow",
        "keras",
        "matplotlib",
        "jinja2",
        "sklearn",
        "scipy",
    }
    assert not heavy or module_name(path) in COMPUTING | {"job.plots"}
    if module_name(path) != "job.device":
        anywhere = {each.split(".")[0] for each in imports(path)} & {"tensorflow", "keras"}
        assert not anywhere or module_name(path) in COMPUTING


def test_only_the_command_line_knows_typer_and_its_variables() -> None:
    for path in MODULES:
        if module_name(path) not in ("job.cli", "job.options"):
            assert "typer" not in imports(path)
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
