"""The shortest runs that do everything a long one does to its files: on a table of some hundred texts."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job.errors import JobError
from job.output.finished import METRICS, REPORT, VerifiedRun
from job.output.folder import Output
from scripts.measure.faults.runs import fork, outcome, succeed

TRAIN = ["train", "--preset", "quickstart", "--device", "cpu", "--batch-size", "64", "--units", "2", "--log-format", "json"]
_NUMBER = 240


def import_all() -> None:
    """Imports what a run would import, so that no fork needs to; nothing of it starts a thread."""
    import keras  # noqa: F401
    import matplotlib.font_manager  # noqa: F401
    import sklearn.linear_model  # noqa: F401

    from job.commands import merge, report, train  # noqa: F401
    from job.report import card, page  # noqa: F401
    from job.training import loop, optimizer, trial  # noqa: F401


def without_a_trial() -> None:
    """In a fork: exported models are not loaded in a fresh process, which takes most of such a run and changes no file."""
    from job.commands import publishing

    class Unasked:
        def __init__(self, *_: Any) -> None:
            self._count = 0

        def load(self, *_: Any) -> None:
            self._count += 1

        def answers(self) -> list[Any]:
            return [[]] * self._count

        def close(self) -> None:
            pass

    vars(publishing).update(FreshProcess=Unasked, difference=lambda *_: 0.0)


def write_table(folder: Path) -> Path:
    """The texts."""
    path = folder / "texts.csv"
    lines = [f"film number {each} was {'good' if each % 2 else 'bad'} in part {each % 7},{each % 2}" for each in range(_NUMBER)]
    path.write_text("\n".join(["text,label", *lines, ""]))
    return path


@dataclass(frozen=True)
class Command:
    """A command that changes files, and what it ends with when nothing disturbs it.

    Args:
        prepare: Makes what has to be in a place before the command is called there.
        arguments: Of the command, for a place; it writes to `output` and `cache` in it.
    """

    name: str
    prepare: Callable[[Path], object]
    arguments: Callable[[Path], list[str]]

    def start(self, place: Path, said: Path, before: Callable[[], object] = lambda: None) -> int:
        """Starts it in a fork; the process id."""

        def set_up() -> None:
            without_a_trial()
            before()

        return fork(self.arguments(place), said, set_up)

    def again(self, place: Path) -> None:
        """Makes the place as it is before the command."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        self.prepare(place)


def result(output: Path) -> dict[str, Any]:
    """As `outcome`, of a run whose files are all as its run.json says; its report, too, which has no times of its own."""
    VerifiedRun.verify(output)
    return outcome(output)


def is_whole(output: Path) -> bool:
    """Whether what counts as a finished run can be used, if there is one."""
    try:
        if (output / METRICS).exists():
            VerifiedRun.verify(output)
    except JobError as error:
        print(error, file=sys.stderr)
        return False
    return True


def commands(folder: Path, wanted: list[str]) -> list[Command]:
    """`train`, `merge` and `report`, with what they need made in a folder."""
    table = write_table(folder)

    def train(place: Path, *more: str) -> list[str]:
        arguments = [*TRAIN, "--architecture", "rnn", "--epochs", "2", "--data", str(table), *more]
        return [*arguments, "--output", str(place / "output"), "--cache", str(place / "cache")]

    made = [Command("train", lambda place: None, train)]
    finished, shards = folder / "finished", folder / "sharded"
    if "report" in wanted:
        succeed(made[0].start(finished, folder / "said"), folder / "said")
        shutil.rmtree(finished / "cache")

        def copy(place: Path) -> None:
            shutil.copytree(finished / "output", place / "output")
            # What an older version may have drawn.
            there = VerifiedRun.verify(place / "output")
            Output(there.folder).replace(there, REPORT, (there.folder / REPORT).read_bytes() + b"\n")

        made.append(Command("report", copy, lambda place: ["report", str(place / "output")]))
    if "merge" in wanted:
        for number in range(2):
            arguments = train(shards, "--seeds", "2", "--shard", f"{number}/2")
            succeed(fork(arguments, folder / "said", without_a_trial), folder / "said")
        made.append(
            Command(
                "merge", lambda place: None, lambda place: ["merge", str(shards / "output"), "--output", str(place / "output")]
            )
        )
    return [each for each in made if each.name in wanted]
