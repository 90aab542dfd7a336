"""Stops every command in each of its phases, and shows what is left of it. The real command, in forks of this process.

    .venv/bin/python -m scripts.measure.faults.phases whole      a training, in all of its phases
    .venv/bin/python -m scripts.measure.faults.phases signals    SIGINT shortly after, SIGHUP, and SIGTERM twice, in some
    .venv/bin/python -m scripts.measure.faults.phases workers    two workers; signals to their parent or to the process group
    .venv/bin/python -m scripts.measure.faults.phases commands   every other command
    .venv/bin/python -m scripts.measure.faults.phases streams    standard streams and terminals that are closed, other signals

A signal comes as a phase's function is called, or shortly after. A training is one run that is stopped in phase after
phase, by the same command each time, and ends with the bits of an uninterrupted one; of the other commands, the same
call then has to succeed. Ends with 1 where anything is not as it should be.
"""

import argparse
import contextlib
import csv
import fcntl
import importlib
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any, NamedTuple

from scripts.measure.eager import EagerTrain
from scripts.measure.faults.runs import damaged_bytes, end, fork, is_same, outcome, succeed, wait

# What is promised is 10.
_SECONDS = 8.0
_AFTER_SECONDS = 0.02
SMALL = ["train", "--preset", "standard", "--device", "cpu", "--log-format", "json", "--epochs", "2", "--units", "4"]
SMALL += ["--batch-size", "64", "--vocabulary-size", "400", "--max-tokens", "20"]
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


class Phase(NamedTuple):
    """Where a command is stopped."""

    name: str
    function: str
    """What is called when the phase begins, as `module:name`."""
    call: int = 1
    """Which of its calls it is."""


TRAIN = [
    Phase("reading the data", "job.data.corpus:load"),
    Phase("encoding", "job.data.encoding:encode"),
    Phase("beginning the record", "job.commands.train:_Job._begin"),
    Phase("evidence", "job.training.evidence:_make"),
    Phase("starting TensorFlow", "job.machine.runtime:start_tensorflow"),
    Phase("building a network", "job.network.build:build"),
    Phase("first step", "job.training.trial:Runner._on_step"),
    Phase("later step", "job.training.trial:Runner._on_step", 4),
    Phase("validation", "job.analysis.scores:losses"),
    Phase("end of an epoch", "job.training.trial:Runner._on_epoch"),
    Phase("saving a snapshot", "job.output.checkpoints:Store.save"),
    Phase("scores", "job.training.trial:Runner._score"),
    Phase("keeping a result", "job.output.folder:Output.save_result"),
    Phase("baseline", "job.training.linear:fit", 2),
    Phase("keeping the baseline", "job.output.folder:Output.save_baseline"),
    Phase("exporting", "job.network.export:save", 2),
    Phase("starting the fresh process", "job.network.fresh:FreshProcess.load"),
    Phase("ensemble", "job.commands.train:_Job._export_ensemble"),
    Phase("report", "job.report.page:render"),
    Phase("TensorBoard's files", "job.output.tensorboard:write"),
    Phase("waiting for the fresh process", "job.network.fresh:FreshProcess.answers"),
    Phase("publishing", "job.output.folder:Output.publish"),
    Phase("fifth file", "job.output.folder:Output._add", 5),
    Phase("metrics.json", "job.records.metrics:Metrics.to_json"),
    Phase("tidying up", "job.files.atomic:sweep", 2),
    Phase("found finished", "job.commands.train:_Job._nothing_to_do"),
    Phase("delivery", "job.commands.delivery:deliver"),
    Phase("summary", "job.tables:print_summary_line"),
]
SOME = {"encoding", "starting TensorFlow", "first step", "end of an epoch", "saving a snapshot", "baseline", "exporting"}
SOME |= {"waiting for the fresh process", "fifth file"}
SIDE_BY_SIDE = [
    Phase("starting the forkserver", "multiprocessing.forkserver:ensure_running"),
    Phase("hiring the second", "job.training.team:SideBySide._hire", 2),
    Phase("first message", "job.training.team:SideBySide._hear"),
    Phase("saving a snapshot", "job.output.checkpoints:Store.save"),
    Phase("thirtieth message", "job.training.team:SideBySide._hear", 30),
    Phase("keeping a result", "job.output.folder:Output.save_result"),
    Phase("end of a piece of work", "job.training.team:SideBySide._end", 3),
    Phase("publishing", "job.output.folder:Output.publish"),
]


@dataclass
class Trial:
    """What became of one stopped call."""

    code: int
    seconds: float
    last: str
    said: str
    processes: int
    files: list[str]


def texts(folder: Path, count: int = 600) -> Path:
    """A table of labelled texts, all different."""
    path = folder / f"texts-{count}.csv"
    if path.exists():
        return path
    chance = random.Random(0)
    words = [f"word{number}" for number in range(300)]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(count):
            text = [*chance.choices(words, k=12), *chance.choices(["good", "fine"] if number % 2 else ["bad", "poor"], k=3)]
            chance.shuffle(text)
            writer.writerow([f"{' '.join(text)} {number}", "pos" if number % 2 else "neg"])
    return path


def _hook(phase: Phase, act: Callable[[], None]) -> None:
    """Has `act` called as the phase begins."""
    module_name, _, path = phase.function.partition(":")
    owner: Any = importlib.import_module(module_name)
    *places, name = path.split(".")
    for place in places:
        owner = getattr(owner, place)
    real, calls = getattr(owner, name), 0

    @wraps(real)
    def hooked(*values: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == phase.call:
            act()
        return real(*values, **named)

    setattr(owner, name, hooked)
    # Where it was imported by its name before.
    for module in [each for each in sys.modules.values() if getattr(each, "__name__", "").startswith("job.")]:
        if vars(module).get(name) is real:
            setattr(module, name, hooked)


class Stop:
    """How a call is stopped.

    Args:
        whole: Whether the whole process group is, as by a terminal.
        times: How often the signal is sent, without a pause.
        later: Whether it comes shortly after the phase began.
    """

    def __init__(self, number: signal.Signals, whole: bool = False, times: int = 1, later: bool = False) -> None:
        self.number, self._whole, self._times, self._later = number, whole, times, later
        self.name = (
            f"{number.name}{' twice' if times > 1 else ''}{' to the group' if whole else ''}{' soon after' if later else ''}"
        )

    def at(self, phase: Phase, sent: Path) -> Callable[[], None]:
        """What to do in the fork before the command."""

        def send() -> None:
            sent.write_text(str(time.monotonic()))
            for _ in range(self._times):
                (os.killpg if self._whole else os.kill)(os.getpid(), self.number)

        def act() -> None:
            if self._later:
                threading.Timer(_AFTER_SECONDS, send).start()
            else:
                send()

        def prepare() -> None:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            # Else a shell's background jobs would ignore it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            _eager()
            _hook(phase, act)

        return prepare


def of_session(session: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def unfinished(folders: list[Path]) -> list[str]:
    """Files and folders that bear a temporary name."""
    found = [path for folder in folders if folder.exists() for path in folder.rglob(".*") if path.name.endswith(".tmp")]
    return sorted(path.name for path in found)


def stopped(folder: Path, arguments: list[str], phase: Phase, stop: Stop, before: Callable[[], object]) -> Trial | None:
    """Runs a command until it is stopped; None where it never came to that phase."""
    said, sent = folder / "said", folder / "sent"
    sent.unlink(missing_ok=True)
    prepare = stop.at(phase, sent)

    def all_before() -> None:
        prepare()
        before()

    process = fork(arguments, said, all_before)
    code = wait(process, 120)
    ended = time.monotonic()
    if code is None:
        os.kill(process, signal.SIGKILL)
        code = end(process)
    if not sent.exists():
        print(said.read_text()[-1000:], file=sys.stderr)
        return None
    # A forked process ends when it hears of it.
    deadline = time.monotonic() + 1.0
    while (left := of_session(process)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for each in left:
        os.kill(each, signal.SIGKILL)
    text = said.read_text()
    lines = text.splitlines() or [""]
    return Trial(
        code, ended - float(sent.read_text()), lines[-1], text, len(left), unfinished([folder / "output", folder / "cache"])
    )


def judge(trial: Trial | None, phase: Phase, stop: Stop, folder: Path) -> bool:
    """Prints what became of a call, and whether that is as it should be."""
    if trial is None:
        print(f"  {phase.name}: NEVER REACHED", flush=True)
        return False
    faults: list[str] = []
    if trial.code != CODES[stop.number]:
        faults.append(f"exit code {trial.code}")
    if f"stopped by {stop.number.name}" not in trial.last:
        faults.append(f"last line {trial.last!r}")
    if "Traceback" in trial.said or "Exception ignored" in trial.said:
        faults.append("a traceback")
    if trial.seconds > _SECONDS:
        faults.append("too slow")
    if trial.processes:
        faults.append(f"{trial.processes} processes left after a second")
    if trial.files:
        faults.append(f"files left: {trial.files}")
    if lost := damaged_bytes(folder / "output" / "checkpoints"):
        faults.append(f"{lost} bytes in damaged files")
    print(f"  {phase.name}: {trial.code} in {trial.seconds:.2f} s{''.join(f'; WRONG: {each}' for each in faults)}", flush=True)
    if faults and ("a traceback" in faults or trial.code not in CODES.values()):
        print(trial.said[-3000:], file=sys.stderr, flush=True)
    return not faults


def _reference(folder: Path, arguments: list[str], name: str) -> Path:
    """The output of a run that nothing stops; made by the first call."""
    place = folder / f"reference-{name}"
    if not place.exists():
        place.mkdir()
        call = [*arguments, "--workers", "1", "--output", str(place / "output"), "--cache", str(place / "cache")]
        succeed(fork(call, place / "said", _eager), place / "said")
    return place / "output"


def train_series(folder: Path, stop: Stop, workers: int, phases: list[Phase]) -> bool:
    """One run that is stopped in phase after phase, compared with one that is not."""
    is_whole = phases is TRAIN
    # Long enough that something is left for each phase.
    beside = [] if is_whole else ["--architecture", "rnn", "--seeds", str(workers), "--epochs", "6"]
    common = [*SMALL, *beside, "--data", str(texts(folder))]
    platform = {"AIP_MODEL_DIR": str(folder / "model")}

    def arguments(place: Path, count: int) -> list[str]:
        return [*common, "--workers", str(count), "--output", str(place / "output"), "--cache", str(place / "cache")]

    def deliver() -> None:
        # As on Vertex AI, which is given a copy of the model.
        _eager()
        os.environ.update(platform)

    reference = _reference(folder, common, "both" if is_whole else str(workers))
    place = folder / "stopped"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    print(f"train with {workers} worker{'s' if workers > 1 else ''}, {stop.name}:", flush=True)
    good, slowest = True, 0.0
    for phase in phases:
        trial = stopped(place, arguments(place, workers), phase, stop, deliver)
        good &= judge(trial, phase, stop, place)
        if trial is None:
            break
        slowest = max(slowest, trial.seconds)

    succeed(fork(arguments(place, 1), place / "said", deliver), place / "said")
    same = is_same(place / "output", outcome(reference))
    left = unfinished([place / "output", place / "cache"])
    print(
        f"  then finished {'with the same bits' if same else 'DIFFERENT'}; files left {left}; slowest end {slowest:.2f} s",
        flush=True,
    )
    return good and same and not left


def command_series(folder: Path, stop: Stop) -> bool:
    """Every other command is stopped in each of its phases; the same call then succeeds."""
    run = _reference(folder, [*SMALL, "--data", str(texts(folder))], "both")
    place, data = folder / "commands", str(texts(folder))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shards, output, cache = place / "shards", place / "output", ["--cache", str(place / "cache")]
    lines = place / "lines.txt"
    lines.write_text("a good text\n" * 3000)
    for index in range(2):
        shard = [*SMALL, "--data", data, "--architecture", "rnn", "--seeds", "2", "--shard", f"{index}/2", *cache]
        succeed(fork([*shard, "--output", str(shards)], place / "said", _eager), place / "said")
    whole = ["merge", str(shards), "--output", str(output)]
    judging = ["predict", str(run), "--data", data, "--output", str(place / "judged.csv")]
    phases: list[tuple[list[str], list[Phase]]] = [
        (
            whole,
            [
                Phase("reading a shard", "job.commands.merge:_read", 2),
                Phase("joining", "job.output.finished:FinishedRun.of_results"),
                Phase("report", "job.report.page:render"),
                Phase("publishing", "job.output.folder:Output.publish"),
                Phase("fifth file", "job.output.folder:Output._add", 5),
                Phase("summary", "job.tables:print_summary"),
            ],
        ),
        (
            ["predict", str(run), "a good text"],
            [Phase("verifying", "job.files.checksum:of_file", 3), Phase("loading", "job.commands.predict:load")],
        ),
        (
            ["predict", str(run), "--file", str(lines)],
            [Phase("lines", "job.commands.predict:decode", 2500), Phase("judging", "job.commands.predict:known_words", 2)],
        ),
        (
            judging,
            [Phase("table", "job.commands.predict_table:judge"), Phase("a row", "job.commands.predict_table:_values", 300)],
        ),
        (
            ["evaluate", str(run), "--data", str(texts(folder, 500)), *cache],
            [Phase("encoding", "job.data.encoding:encode"), Phase("judging", "job.commands.evaluate:_predict", 2)],
        ),
        (
            ["report", str(run)],
            [Phase("drawing", "job.report.page:render"), Phase("writing", "job.output.folder:Output.replace")],
        ),
        (["validate", str(run)], [Phase("hashes", "job.files.checksum:of_file", 3)]),
        (
            ["data", "fetch", "--data", str(texts(folder, 400)), *cache],
            [Phase("reading", "job.data.encoding:encode"), Phase("writing", "job.data.encoding:_write_tokens")],
        ),
        (
            ["data", "inspect", "--data", str(texts(folder, 300)), *cache],
            [Phase("reading", "job.data.encoding:encode"), Phase("looking", "job.commands.data:inspect_corpus")],
        ),
        (["check"], [Phase("looking", "job.commands.check:check"), Phase("trying", "job.machine.runtime:prepare_tensorflow")]),
    ]
    good = True
    for arguments, each in phases:
        print(f"{' '.join(arguments[:2]) if arguments[0] == 'data' else arguments[0]}, {stop.name}:", flush=True)
        for phase in each:
            good &= judge(stopped(place, arguments, phase, stop, lambda: None), phase, stop, place)
        succeed(fork(arguments, place / "said", lambda: None), place / "said")
        left = unfinished([place, run])
        good &= not left
        print(f"  then succeeded; files left {left}", flush=True)
    return good


def _closed(*numbers: int) -> None:
    """As the shell's `>&-`."""
    for number in numbers:
        os.close(number)
        name = ("stdin", "stdout", "stderr")[number]
        setattr(sys, name, None)
        setattr(sys, f"__{name}__", None)


def _unread(*numbers: int) -> None:
    """Standard streams whose reader ends as the training begins."""
    reader, writer = os.pipe()
    for number in numbers:
        os.dup2(writer, number)
    os.close(writer)
    _hook(Phase("", "job.training.trial:Runner._on_step", 3), lambda: os.close(reader))


def _on_terminal(slave: int, master: int, seen: Path, hangup: Any) -> None:
    """On a terminal of its own."""
    os.setsid()
    os.close(master)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for number in range(3):
        os.dup2(slave, number)
    os.close(slave)
    signal.signal(signal.SIGHUP, hangup)
    os.environ["TERM"] = "xterm"
    _hook(Phase("", "job.training.trial:Runner._on_step", 3), lambda: seen.touch())


def _hang_up(process: int, master: int, slave: int, seen: Path) -> int:
    """Closes the terminal of a process amid its training; the exit code."""
    os.close(slave)
    while not seen.exists() and (code := wait(process, 0)) is None:
        if select.select([master], [], [], 0.05)[0]:
            # Of the other side's end it hears by an error.
            with contextlib.suppress(OSError):
                os.read(master, 65536)
    os.close(master)
    return end(process) if seen.exists() else code or 0


def stream_series(folder: Path) -> bool:
    """Trainings whose standard streams are closed in different ways; the same call then finishes them, with the same bits."""
    common = [*SMALL, "--architecture", "rnn", "--data", str(texts(folder))]
    expected = outcome(_reference(folder, common, "1"))
    place = folder / "streams"
    good = True

    def call(name: str, log_format: str, before: Callable[[], object], codes: set[int], after: Any = None) -> None:
        nonlocal good
        shutil.rmtree(place / "output", ignore_errors=True)
        place.mkdir(exist_ok=True)
        arguments = [*common, "--output", str(place / "output"), "--cache", str(place / "cache"), "--log-format", log_format]

        def prepare() -> None:
            _eager()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            before()

        process = fork(arguments, place / "said", prepare)
        code = after(process) if after else end(process)
        lost = damaged_bytes(place / "output" / "checkpoints")
        is_finished = (place / "output" / "metrics.json").exists()
        if not is_finished:
            succeed(fork(arguments, place / "said", _eager), place / "said")
        fine = code in codes and not lost and is_same(place / "output", expected)
        good &= fine
        how = "finished" if is_finished else "went on to the same bits"
        print(f"  {name}: {code}, {how}{'' if fine else '; WRONG'}", flush=True)

    print("train, its standard streams:", flush=True)
    for name, hangup, codes in (("terminal closed", signal.SIG_DFL, {129}), ("the same under nohup", signal.SIG_IGN, {0, 74})):
        master, slave = os.openpty()
        seen = folder / "seen"
        seen.unlink(missing_ok=True)
        prepare = partial(_on_terminal, slave, master, seen, hangup)
        call(name, "auto", prepare, codes, partial(_hang_up, master=master, slave=slave, seen=seen))
    for number in (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGXCPU):
        hook = Phase("", "job.training.trial:Runner._on_step", 3)
        call(
            number.name,
            "text",
            lambda number=number, hook=hook: _hook(hook, lambda: os.kill(os.getpid(), number)),
            {-number, 0},
        )
    call("input closed", "text", lambda: _closed(0), {0})
    call("output closed", "text", lambda: _closed(1), {0})
    call("errors closed", "text", lambda: _closed(2), {0})
    call("all closed", "json", lambda: _closed(0, 1, 2), {0})
    call("input and errors closed", "json", lambda: _closed(0, 2), {0})
    call("nobody reads errors", "text", lambda: _unread(2), {0})
    call("nobody reads errors, JSON", "json", lambda: _unread(2), {0})
    call("nobody reads output", "json", lambda: _unread(1), {74})
    call("nobody reads either", "text", lambda: _unread(1, 2), {74})
    return good


def _eager() -> None:
    """Steps that need no compiling, in a fork."""
    from job.training import trainer

    vars(trainer)["Train"] = EagerTrain


def main() -> int:
    """Reads the arguments and runs what they name; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", nargs="*", help="some of: whole, signals, workers, commands, streams; all by default")
    chosen = parser.parse_args().series or ["whole", "signals", "workers", "commands", "streams"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow  # noqa: F401 (before the forks, so that each need not)

    term, interrupt, hangup = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
    some = [phase for phase in TRAIN if phase.name in SOME]
    done = []
    with tempfile.TemporaryDirectory(prefix="fault-harness-") as name:
        folder = Path(name)
        if "whole" in chosen:
            done.append(train_series(folder, Stop(term), 1, TRAIN))
        if "signals" in chosen:
            stops = [Stop(interrupt, later=True), Stop(hangup), Stop(term, times=2)]
            done += [train_series(folder, stop, 1, some) for stop in stops]
        if "workers" in chosen:
            stops = [Stop(term, whole=True), Stop(hangup, whole=True), Stop(interrupt, whole=True), Stop(term)]
            done += [train_series(folder, stop, 2, SIDE_BY_SIDE) for stop in stops]
        if "commands" in chosen:
            done.append(command_series(folder, Stop(term)))
        if "streams" in chosen:
            done.append(stream_series(folder))
    return 0 if all(done) else 1


if __name__ == "__main__":
    raise SystemExit(main())
