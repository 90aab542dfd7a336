"""Folders that may not be entered: one line and the exit code of an input or an output, never a traceback."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from job.commands import merge, predict, report, validate
from job.errors import InputOutputError, MissingInputError, OutputError
from job.files import atomic, reading
from job.output import existing
from job.output.finished import VerifiedRun
from job.presets import ModelName
from tests.conftest import ROOT, Command


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, MissingInputError), (errno.ENOENT, MissingInputError), (errno.ENAMETOOLONG, MissingInputError),
        (errno.ELOOP, MissingInputError), (errno.EIO, InputOutputError), (errno.ESTALE, InputOutputError),
    ],
)  # fmt: skip
def test_what_is_not_there_is_66_and_what_fails_midway_74(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^a/b: .*\(.+\)"), reading.explained(Path("a"), "a list"):
        raise OSError(number, os.strerror(number), "a/b")


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As for another user, whom root is not: nothing below the folder can be looked at."""
    real: Callable[..., os.stat_result] = os.stat

    def stat(path: str | Path | int, *arguments: object, **named: object) -> os.stat_result:
        if not isinstance(path, int) and Path(path).is_relative_to(folder) and Path(path) != folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", stat)


def test_a_run_in_a_folder_that_may_not_be_entered_is_66_for_whoever_reads_it(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "locked" / "run"
    verified = VerifiedRun.verify(finished)
    forbid(monkeypatch, tmp_path / "locked")
    moved = VerifiedRun(folder=run, record=verified.record, metrics=verified.metrics)
    readers: list[Callable[[], object]] = [
        lambda: VerifiedRun.verify(run),
        lambda: predict.load(moved, ModelName.rnn),
        lambda: validate.validate(run),
        lambda: report.write([run]),
        lambda: merge.merge([run], tmp_path / "o", 0),
        lambda: merge.merge([tmp_path / "locked"], tmp_path / "o", 0),
    ]
    for read in readers:
        with pytest.raises(MissingInputError, match=r"cannot be read \(Permission denied\); expected"):
            read()


def test_an_output_in_a_folder_that_may_not_be_entered_is_73(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = VerifiedRun.verify(finished).record
    run = tmp_path / "locked" / "run"
    (tmp_path / "locked").mkdir()
    forbid(monkeypatch, tmp_path / "locked")
    with pytest.raises(OutputError, match=r"cannot be written by user \d+ \(Permission denied\); `.*locked`"):
        existing.find(run, record.identity, lambda: Path("another"), fresh=True)
    with pytest.raises(OutputError, match="Permission denied"), atomic.explained(run):
        os.stat(run)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_gets_one_line(tmp_path: Path) -> None:
    """For real, at the system's own checks."""
    script = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); import job.output.finished, job.cli; os.setgroups([]); os.setgid(1000); os.setuid(1000); from job.__main__ import main; sys.exit(main())"
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o700)
    done = subprocess.run([sys.executable, "-c", script, "validate", str(locked / "run")], capture_output=True, text=True)
    assert done.returncode == 66
    assert done.stderr.splitlines() == [
        f"error: {locked}/run: cannot be read (Permission denied); expected the --output of a finished run that this user may read"
    ]


def test_who_has_no_home_encodes_for_this_run_only(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    from job import source

    def homeless(*_: object, **__: object) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_cache_dir", homeless)
    cache = source.resolve_source(source.DataRequest(data="embedded")).cache
    assert cache == Path("/dev/null/no-home")
    done = command("data", "inspect", "--data", "embedded", env={"JOB_CACHE": str(cache)})
    assert done.returncode == 0
    assert "the cache /dev/null/no-home cannot be written" in done.stderr
    assert "the data are encoded for this run only" in done.stderr
