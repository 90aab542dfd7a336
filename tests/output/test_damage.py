"""A run's folder that was damaged, or that somebody else made: one line with the contract's code, whatever lies in it."""

import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from job.commands import predict, validate
from job.errors import DataError, JobError, OutputError
from job.output import existing
from job.output.finished import FinishedRun
from job.output.folder import Output
from job.presets import ModelName
from tests.output.samples import IDENTITY, rehash, write_run

FILES = [
    "metrics.json",
    "run.json",
    "examples.json",
    "vocabulary.json",
    "predictions.csv",
    "validation_predictions.csv",
    "training_hashes.npy",
    "rnn/history.csv",
    "baseline/model.safetensors",
]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def link_out(path: Path) -> None:
    outside = path.parents[2] / f"outside-{path.name}"
    shutil.move(path, outside)
    path.symlink_to(outside)


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def link_to_a_device(path: Path) -> None:
    path.unlink()
    # Which never ends.
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "mine").touch()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    path.unlink()
    here = os.getcwd()
    # The name of one must not be long.
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


CONTENTS: dict[str, Callable[[Path], None]] = {
    "cut": cut,
    "empty": empty,
    "a list": other(b"[]"),
    "an object": other(b"{}"),
    "of another version": other(b'{"schema_version": 2, "files": {}}'),
    "nested": other(b"[" * 100_000),
}
NO_FILES: dict[str, Callable[[Path], None]] = {
    "a link out": link_out,
    "a link to itself": link_to_itself,
    "a device": link_to_a_device,
    "a folder": folder,
    "a FIFO": fifo,
    "a socket": unix_socket,
}
DAMAGES = CONTENTS | NO_FILES
# What is empty is a whole vocabulary, and a history of no epoch.
WHOLE = {("vocabulary.json", "a list"), *(("rnn/history.csv", damage) for damage in CONTENTS)}
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def damaged(made: Path, tmp_path: Path) -> Callable[[str, str], Path]:
    """A run of which one file was damaged; a new one each time."""

    def make(name: str, damage: str) -> Path:
        run = tmp_path / name.replace("/", "-") / "run"
        shutil.copytree(made, run)
        DAMAGES[damage](run / name)
        return run

    return make


def look(folder: Path) -> None:
    """Reads all of a run that can be read without TensorFlow."""
    run = FinishedRun.read(folder)
    run.training_hashes()
    predict.load(run, ModelName.baseline).probabilities(["good film"])


def code(call: Callable[[], object]) -> int:
    with pytest.raises(JobError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value.exit_code


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_65_to_whoever_reads_a_run_and_78_to_who_trains_there(
    damage: str, damaged: Callable[[str, str], Path]
) -> None:
    for name in FILES:
        run = damaged(name, damage)
        assert code(partial(validate.validate, run)) == 65
        is_of_none = name in ("metrics.json", "run.json") and (
            name == "run.json" or damage not in ("an object", "of another version")
        )
        expected = 78 if is_of_none else 65
        assert code(partial(existing.find, run, IDENTITY, lambda: Path("another"))) == expected, name


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_has_its_hash_and_is_no_file_of_a_run_is_told(damage: str, damaged: Callable[[str, str], Path]) -> None:
    for name in FILES:
        run = damaged(name, damage)
        if name in ("metrics.json", "run.json"):
            continue
        rehash(run)
        if (name, damage) in WHOLE:
            look(run)
        else:
            assert code(partial(look, run)) in (65, 66), name


def test_files_of_two_runs_do_not_become_one(made: Path, tmp_path: Path) -> None:
    other_run = write_run(tmp_path / "other", seed=1)
    for name in ("metrics.json", "predictions.csv"):
        run = tmp_path / name / "run"
        shutil.copytree(made, run)
        shutil.copyfile(other_run / name, run / name)
        with pytest.raises(DataError, match="was changed since the run ended"):
            FinishedRun.read(run)
        rehash(run)
        with pytest.raises(DataError, match=r"do not belong together \(predictions.csv has no answer of rnn, seed \d"):
            FinishedRun.read(run)


@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [
        (["validate", "RUN"], "metrics.json", 65),
        (["report", "RUN"], "predictions.csv", 65),
        (["merge", "RUN", "--output", "merged"], "metrics.json", 65),
        (["predict", "RUN", "good"], "vocabulary.json", 65),
        (["train", "--preset", "quickstart", "--output", "RUN"], "run.json", 78),
        (["train", "--preset", "quickstart", "--output", "RUN"], ".lock", 73),
    ],
)
def test_no_command_waits_for_a_fifo(
    arguments: list[str],
    name: str,
    expected: int,
    damaged: Callable[[str, str], Path],
    tmp_path: Path,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from job import command_line

    monkeypatch.chdir(tmp_path)
    if name == ".lock":
        run = tmp_path / "new"
        run.mkdir()
        os.mkfifo(run / name)
    else:
        run = damaged(name, "a FIFO")
    monkeypatch.setenv("JOB_CACHE", str(shared_cache))
    monkeypatch.setattr("sys.argv", ["sentiment-job", *(str(run) if each == "RUN" else each for each in arguments)])
    assert command_line.run() == expected
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {run / name}: ")


@pytest.mark.parametrize("kind", ["a link out", "a link to itself", "a file", "a FIFO"])
@pytest.mark.parametrize("name", ["rnn", "lstm", "baseline", "ensemble", "tensorboard", "checkpoints"])
def test_nothing_is_written_by_a_link_out_of_the_output(kind: str, name: str, tmp_path: Path) -> None:
    output, outside = tmp_path / "output", tmp_path / "outside"
    output.mkdir()
    outside.mkdir()
    (outside / "mine").touch()
    path = output / name
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a file":
        path.touch()
    else:
        path.symlink_to(outside if kind == "a link out" else name)
    with pytest.raises(OutputError, match=rf"output/{name}: expected a folder, or nothing; remove what is there"):
        Output(output).prepare()
    Output(output).discard()
    Output(output).prepare()
    assert [each.name for each in output.iterdir()] == []
    assert [each.name for each in outside.iterdir()] == ["mine"]


def test_what_is_discarded_may_be_anything_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    (tmp_path / "outside").write_bytes(b"mine")
    os.mkfifo(output / "metrics.json")
    (output / "run.json" / "inside").mkdir(parents=True)
    (output / "predictions.csv").symlink_to(tmp_path / "outside")
    Output(output).discard()
    assert list(output.iterdir()) == []
    assert (tmp_path / "outside").read_bytes() == b"mine"


def test_what_is_written_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    (tmp_path / "outside").write_bytes(b"mine")
    (output / "report.html").symlink_to(tmp_path / "outside")
    Output(output).write_file("report.html", b"new")
    assert not (output / "report.html").is_symlink()
    assert (tmp_path / "outside").read_bytes() == b"mine"


def test_an_output_that_is_a_link_to_itself_is_73(tmp_path: Path) -> None:
    (tmp_path / "output").symlink_to("output")
    assert code(Output(tmp_path / "output").prepare) == 73


def test_of_a_shard_what_was_verified_is_copied_and_no_link_beside_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "secret").write_bytes(b"secret")
    (run / "tensorboard").mkdir()
    (run / "tensorboard" / "events").write_bytes(b"events")
    (run / "tensorboard" / "link").symlink_to(tmp_path / "secret")
    record = FinishedRun.read(run).record
    found = FinishedRun.read(run)
    found = replace(found, record=record.but(files=(record.files or {}) | {"tensorboard/events": "0"}))
    found.copy("tensorboard", tmp_path / "copy")
    assert [each.name for each in (tmp_path / "copy").iterdir()] == ["events"]
