"""What the tests of the report share: a browser, and runs that differ from the end-to-end run in some places."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from job.commands import report

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
Changed = Callable[[str, Callable[[Any], None]], str]


@pytest.fixture(scope="session")
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
def changed(finished: Path, tmp_path: Path) -> Changed:
    """The page of the end-to-end run after a change to the content of one of its files."""

    def render(name: str, change: Callable[[Any], None]) -> str:
        folder = tmp_path / "changed"
        shutil.copytree(finished, folder)
        run = json.loads((folder / "run.json").read_text())
        run["files"].pop(name)
        (folder / "run.json").write_text(json.dumps(run))
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))
        return report.write([folder]).read_text()

    return render
