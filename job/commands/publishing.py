"""What a finished run is published with: its exported models, tried as they will be used, and its pages."""

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from job.commands.models import Export, Exported
from job.files import atomic
from job.network.fresh import Answer, FreshProcess, KilledError, difference
from job.network.predictor import Predictor
from job.output import finished
from job.output.finished import FinishedRun, VerifiedRun
from job.output.folder import DEPENDENCY, EVENTS, Content
from job.output.results import Trials
from job.presets import ModelName
from job.records.metrics import DeviceRecord
from job.training.desk import Desk, Label, OwnDesk, Unseen
from job.training.team import Team

log = logging.getLogger(__name__)
# Of loading the models in a process that others may end, as for want of memory.
_TRIES = 3
_ODD_TEXTS = ("", " ", "GREAT!!! Isn't it?", "naïve café — «über»", "a\ttab, a\r and a \0 byte", "word " * 3000)


class Publishing:
    """Has files made by a team, each as soon as what it is made of is known. Exported models are loaded in a fresh process at once.

    Args:
        output: The output folder, for messages.
        scratch: A folder in it for what is not in its place yet.
        texts: What the models are asked, beside some odd ones.
    """

    def __init__(self, team: Team, output: Path, scratch: Path, texts: list[str]) -> None:
        self._team, self._output, self._scratch = team, output, scratch
        # Nothing of it is told or asked.
        self._desk = OwnDesk(Unseen(), None, lambda purpose: None)
        self._texts = [*texts, *_ODD_TEXTS]
        self._fresh: FreshProcess | None = None
        self._exported: list[Exported] = []
        self._wanted = self._tried = 0
        self.files: dict[str, Content] = {}
        """By name, those that are made so far."""

    def __enter__(self) -> "Publishing":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._fresh is not None:
            self._fresh.close()

    def export(self, name: ModelName, make: Callable[[], Predictor], weights: bytes | None = None) -> None:
        """Has a model exported; the arguments as in `Export`."""
        self._wanted += 1
        work = Export(name=name, make=make, weights=weights, folder=self._scratch, texts=self._texts)
        self._team.add(work, self._desk, self._take_model)

    def _take_model(self, exported: Exported) -> None:
        self._exported.append(exported)
        self._take({name: path.rename for name, path in exported.files.items()})
        if self._team.has_room:
            self._try_models()

    def _try_models(self) -> None:
        """Has the models loaded that are made so far; the process for that takes seconds to be ready, and memory."""
        if self._fresh is None:
            with atomic.explained(self._output):
                self._fresh = FreshProcess(self._texts, self._scratch)
        for each in self._exported[self._tried :]:
            name = f"{each.name}/{finished.SAVED_MODEL}"
            self._fresh.load(each.files[name], self._output / name)
        self._tried = len(self._exported)

    def draw(self, run: FinishedRun) -> None:
        """Has a run's pages made, and TensorBoard's files."""
        told = run.without_weights()
        self._team.add(Pages(told), self._desk, self._take)
        self._team.add(Events(told.trials, self._scratch), self._desk, lambda folder: self._take({EVENTS: folder.rename}))

    def _take(self, files: Mapping[str, Content]) -> None:
        self.files |= files

    def finish(self) -> None:
        """Waits for all of it. The exported models must give, in a process of their own, what the trained ones do.

        Raises:
            JobError: One does not.
        """
        if self._wanted:
            self._try_models()
        self._team.finish()
        if not self._wanted:
            return
        worst = 0.0
        for each, answer in zip(self._exported, self._answers(), strict=True):
            folder = self._output / each.name / finished.SAVED_MODEL
            worst = max(worst, difference(folder, answer, each.expected, each.threshold))
        log.info(f"exported models loaded in a fresh process: {worst:.1e} from the trained ones at most")

    def _answers(self, tries: int = _TRIES) -> list[Answer]:
        self._try_models()
        assert self._fresh is not None
        try:
            return self._fresh.answers()
        except KilledError as error:
            if tries == 1:
                raise
            log.warning(f"{error}; it is started again")
        self._fresh.close()
        self._fresh, self._tried = None, 0
        return self._answers(tries - 1)


def pages(run: FinishedRun) -> dict[str, bytes]:
    """The report and what goes with it, by where they belong in the output."""
    # Matplotlib takes a second.
    from job.report import page

    made = {finished.REPORT: page.render(run)}
    return made | ({DEPENDENCY: page.draw_memory(run.metrics.dependency)} if run.metrics.dependency else {})


def cards(run: FinishedRun, files: Mapping[str, Content], before: VerifiedRun | None = None) -> dict[str, bytes]:
    """The model cards, by where they belong in the output.

    Args:
        files: What the run is published with; a model is among them, or was left by `before`.
    """
    from job.report import card

    there = files.keys() | ((before.record.files or {}).keys() if before else set())
    names = [name for name in ModelName if f"{name}/{finished.model_file(name)}" in there]
    return {f"{name}/{finished.CARD}": card.render(run, name) for name in names}


@dataclass(frozen=True, eq=False)
class Pages:
    """The work (job/training/work.py) that gives the `pages` of a run."""

    run: FinishedRun

    @property
    def label(self) -> Label:
        """See `Work`, as with the others."""
        return Label("report")

    @property
    def cost(self) -> float:
        """Seconds, which is next to nothing."""
        return 3.0

    def do(self, desk: Desk, device: DeviceRecord) -> dict[str, bytes]:
        """Draws it."""
        return pages(self.run)


@dataclass(frozen=True, eq=False)
class Events:
    """The work of writing what TensorBoard shows; gives the folder that holds it."""

    trials: Trials
    folder: Path
    """Takes it; it is there, in the output."""

    @property
    def label(self) -> Label:
        """See `Work`, as with the others."""
        return Label("TensorBoard's files")

    @property
    def cost(self) -> float:
        """Next to nothing."""
        return 0.0

    def do(self, desk: Desk, device: DeviceRecord) -> Path:
        """Writes it.

        Raises:
            OutputError, InputOutputError: The folder cannot be written.
        """
        from job.output import tensorboard

        with atomic.explained(self.folder.parent / EVENTS):
            events = Path(tempfile.mkdtemp(dir=self.folder)) / EVENTS
            tensorboard.write(self.trials, events)
        return events
