"""What is called as nobody would call it: every text of a run's records is somebody's, and none steers who looks at it."""

import json
from pathlib import Path
from typing import Any

import pydantic
import pytest

from job.errors import DataError
from job.output.finished import FinishedRun
from job.presets import ModelName
from job.records.base import Record
from job.records.metrics import Metrics
from job.records.run import RunRecord
from job.report import card, figures, page
from tests.output.samples import write_run

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e`$|=1'\""


def spoil(kind: type[Record], values: Any) -> int:
    """Puts the hostile text wherever the record takes any text; how often it does."""

    def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [path] if isinstance(value, str) else [place for key, each in inside for place in places(each, (*path, key))]

    changed = 0
    for *path, key in places(values):
        holder = values
        for each in path:
            holder = holder[each]
        before, holder[key] = holder[key], HOSTILE
        try:
            kind.parse(json.dumps(values).encode())
            changed += 1
        except pydantic.ValidationError:
            holder[key] = before
    return changed


@pytest.fixture
def hostile(tmp_path: Path) -> FinishedRun:
    run = write_run(tmp_path / "run")
    for name, kind, least in (("run.json", RunRecord, 20), ("metrics.json", Metrics, 14)):
        values = json.loads((run / name).read_text())
        if name == "run.json":
            values["files"] = {}
        assert spoil(kind, values) >= least
        (run / name).write_text(json.dumps(values))
    return FinishedRun.read(run)


def test_no_name_is_markup_or_steers_a_terminal_in_the_report_or_a_card(
    hostile: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "make", lambda run, best: [])
    made = [page.render(hostile), page.render_comparison([hostile, hostile])]
    made += [card.render(hostile, name) for name in (ModelName.rnn, ModelName.baseline, ModelName.ensemble)]
    for content in made:
        text = content.decode()
        assert "alert(1)" in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert b"<script>" not in made[0] + made[1]


def test_a_time_that_is_none_is_65(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    values = json.loads((run / "run.json").read_text()) | {"end": "2024-01-01T00:00:00"}
    (run / "run.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"run\.json: \$\.end: Value error, expected a time with its zone"):
        FinishedRun.read(run)
