"""A trial: one network trained with one seed, from its batches to its scores, taken up again where it was left."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from job.analysis import scores, thresholds
from job.data import batches
from job.data.evidence import Evidence
from job.data.reviews import Parts, Reviews
from job.machine import provenance, signals
from job.network import kernel
from job.output.checkpoints import Snapshot
from job.output.results import TrialResult
from job.presets import Architecture, ClassWeight, Hyperparameters, ThresholdRule
from job.records.history import Epoch, HistoryRow
from job.records.metrics import DeviceRecord
from job.records.trials import GradientNorm, LossAndAccuracy, Scores, TrialRecord
from job.training import evidence
from job.training.desk import Desk, Label
from job.training.pace import Pace

if TYPE_CHECKING:
    from job.training.group import Group
    from job.training.loop import Training
    from job.training.position import Position

log = logging.getLogger(__name__)
_EVALUATION_BATCH = 256
# Adam's two moments beside each weight, as float32.
_BYTES_PER_WEIGHT = 12
# Where gradients are traced: batches of validation reviews, and tokens back from the last one.
_GRADIENT_BATCHES = 4
_BACK = (0, 1, 2, 5, 10, 20, 50, 100, 200, 400)
# The part of a GPU's memory that the training reviews may take; where they need more, the host assembles the batches.
_RESIDENT_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be trained."""

    architecture: Architecture
    seed: int
    values: Hyperparameters
    name: str
    """For people."""
    threshold: ThresholdRule | float | None = None
    """How to decide; None to leave that open."""
    traces_gradients: bool = False
    """Whether `gradient_norms` is measured at the end."""

    @property
    def label(self) -> Label:
        """For people and JSON lines."""
        return Label(self.name, self.seed)


class Outcome(NamedTuple):
    """Of a trial that was taken to its end, by this process."""

    result: TrialResult
    snapshots: int
    saving: float
    """Seconds spent in saving them."""


class Trial:
    """A task on its reviews: the network, built but not trained, and the loop that trains it.

    Args:
        cache: The folder that keeps what need not be made twice, or what is kept there and was read already.
        guesses: A teacher's probabilities for the corpus's unlabelled reviews, which are then trained on as well, <float32>[reviews
            of the corpus].
        group: The processes that train it together.
    """

    def __init__(
        self,
        task: Task,
        parts: Parts,
        device: DeviceRecord,
        cache: Path | Evidence | None,
        guesses: NDArray[np.float32] | None = None,
        group: "Group | None" = None,
    ) -> None:
        from job.network.build import build
        from job.network.forward import Forward

        self.task, self.device, self.group = task, device, group
        self.parts = evidence.attached(parts, task.values, cache)
        self.taught = self.parts.train if guesses is None else self.parts.train.with_guesses(guesses)
        self.kernel = kernel.choose(device, task.architecture, task.values)
        self.network = build(task.architecture, task.values, task.seed, len(parts.train.corpus.words))
        self.forward = Forward(self.network, task.values, self.kernel)
        is_balanced = task.values.class_weight is ClassWeight.balanced
        self.class_weights = scores.balanced_weights(parts.train.labels) if is_balanced else scores.EQUAL
        self.loop = self._make_loop()

    def _make_loop(self) -> "Training":
        from job.training import loop, optimizer

        feed, values = self._feed(), self.task.values

        def validate() -> tuple[float, float]:
            validation = self.parts.validation
            return scores.losses(validation.labels, self.predict(validation), self.class_weights)

        return loop.Training(
            self.forward,
            optimizer.optimizer(values, feed.steps * values.epochs),
            self.task.seed,
            feed,
            validate if len(self.parts.validation) else None,
            self.class_weights,
            self.group,
        )

    def _feed(self) -> Any:
        from job.training import feed

        values, train = self.task.values, self.taught
        steps = -(-len(train) // values.batch_size)

        def order(epoch: int) -> list[NDArray[np.int64]]:
            return batches.training_order(train.lengths, values.batch_size, values.length_pool, self.task.seed, epoch)

        def assembled(epoch: int, done: int) -> Iterable[batches.Batch]:
            return train.batches(order(epoch)[done:])

        room = (self.device.memory_bytes or 0) * _RESIDENT_SHARE
        bytes_each = 4 + 2 * values.evidence
        if self.group is None and train.length is None and bytes_each * train.lengths.sum() < room:
            return feed.DeviceFeed(train.flat(), train.lengths, train.targets, train.flat_numbers(), train.linear, order, steps)
        return feed.HostFeed(steps, assembled)

    def predict(self, reviews: Reviews) -> NDArray[np.float32]:
        """Logits <float32>[reviews]. A signal that is deferred ends it between batches."""
        from job.training.loop import explained_memory

        result = np.zeros(len(reviews), np.float32)
        # Our loops are compiled for the shapes of training.
        size = self.task.values.batch_size if self.kernel == "xla" else _EVALUATION_BATCH
        order = batches.evaluation_order(reviews.lengths, size)
        if self.group is not None:
            order = order[self.group.index :: self.group.count]
        for places, batch in zip(order, reviews.batches(order), strict=True):
            with explained_memory("×".join(map(str, batch.tokens.shape))):
                result[places] = self.forward.predict(batch)
            signals.raise_pending()
        return result if self.group is None else self.group.total(result)

    def gradient_norms(self) -> list[GradientNorm]:
        """How far back the network, when it is trained, still feels a token: at growing distances from the end.

        A norm is that of the logit's gradient by the token's embedding, the mean over validation reviews.
        """
        size, validation = self.task.values.batch_size, self.parts.validation
        chosen = np.arange(len(validation))[: _GRADIENT_BATCHES * size]
        order = batches.evaluation_order(validation.lengths[chosen], size)
        sums: dict[int, list[float]] = {}
        for batch in validation.batches(order):
            lengths = np.count_nonzero(batch.tokens, axis=1)
            norms = self.forward.token_gradients(batch.tokens)
            for back in (each for each in _BACK if each < lengths.min()):
                sums.setdefault(back, []).extend(norms[np.arange(len(lengths)), lengths - 1 - back].tolist())
        return [
            GradientNorm(back=back, norm=float(np.mean(norms))) for back, norms in sums.items() if len(norms) == len(chosen)
        ]


class Runner:
    """Takes a trial to its end, from the last snapshot if there is one."""

    def __init__(self, trial: Trial, desk: Desk) -> None:
        self._trial, self._desk = trial, desk
        # Names the device and the software: what a continued training must share to be bit-identical.
        self._place = provenance.place(trial.device, trial.kernel, trial.group.count if trial.group else 1)
        self._continued: list[str] = []
        self._trained_before = 0.0
        self._pace = Pace()

    def run(self) -> Outcome:
        """Trains and scores; the test reviews are used once, at the end.

        Raises:
            Interrupted: A signal came; what was reached is in a snapshot.
            DeviceMemoryError, OutputError, InputOutputError: As the parts raise them.
        """
        task = self._trial.task
        self._desk.start(task.label, task.values.epochs)
        self._take_up()
        try:
            with signals.deferred():
                self._trial.loop.run(self._on_step, self._on_epoch)
        except signals.Interrupted:
            self._save()
            raise
        result = self._score()
        self._trial.loop.release()
        return Outcome(result, self._pace.count, self._pace.seconds)

    def _on_step(self, position: "Position") -> None:
        self._desk.step(self._trial.task.label, position, self._trial.loop.steps)
        if self._pace.is_due():
            self._save_if_cheap()
        group = self._trial.group
        signals.raise_pending() if group is None else group.check_signals()

    def _on_epoch(self, epoch: Epoch) -> None:
        self._save_if_cheap()
        self._desk.epoch(self._trial.task.label, epoch)

    def _save_if_cheap(self) -> None:
        size = self._trial.network.count_params() * _BYTES_PER_WEIGHT
        if self._pace.allows(size, self._trained() - self._trained_before):
            self._save()

    def _trained(self) -> float:
        """Seconds in training steps, those of earlier processes too."""
        position = self._trial.loop.position
        return position.seconds + sum(epoch.seconds for epoch in position.history)

    def _save(self) -> None:
        loop = self._trial.loop
        state = loop.state()
        values = {"position": state.position, "place": self._place, "continued": self._continued}
        step = (loop.position.epoch - 1) * loop.steps + loop.position.step
        with self._pace.measured():
            self._desk.save(step, Snapshot(values, state.arrays))

    def _take_up(self) -> None:
        from job.training.loop import State

        snapshot, loop, task = self._desk.load(), self._trial.loop, self._trial.task
        if snapshot is None:
            return
        loop.restore(State(snapshot.values.get("position", {}), snapshot.arrays))
        self._trained_before = self._trained()
        self._continued = TypeAdapter(list[str]).validate_python(snapshot.values.get("continued", []))
        where = f"epoch {loop.position.epoch} after step {loop.position.step} of {loop.steps}"
        if loop.position.ended:
            where = "its evaluation"
        log.info(f"{task.label}: continued at {where}")
        if (place := snapshot.values.get("place")) != self._place:
            change = f"at {where} from {place} to {self._place}"
            self._continued.append(change)
            log.warning(f"going on {change}: the result will not be the same to the bit; metrics.json records it")

    def _score(self) -> TrialResult:
        trial, position = self._trial, self._trial.loop.position
        parts = {"train": trial.parts.train, "validation": trial.parts.validation, "test": trial.parts.test}
        found: dict[str, Scores] = {}
        judged: dict[str, thresholds.Judged] = {}
        weighted: float | None = None
        probabilities, diverged = np.empty(0, np.float32), position.diverged
        for name, reviews in parts.items() if not diverged else ():
            if name == "test":
                self._desk.look(f"scores of {trial.task.name}, seed {trial.task.seed}")
            logits = trial.predict(reviews)
            if not np.isfinite(logits).all():
                diverged = f"a prediction for the {name} reviews was not a number after the last epoch, seed {trial.task.seed}"
                break
            judged[name] = reviews.labels, logits
            if len(reviews):
                found[name] = scores.score(reviews.labels, logits)
                if name == "validation" and trial.class_weights != scores.EQUAL:
                    weighted = scores.losses(reviews.labels, logits, trial.class_weights)[0]
            if name == "test":
                probabilities = scores.probabilities(logits)
        if diverged:
            log.warning(f"{trial.task.name}: {diverged}; the other runs go on")
            found = {}
        history = [HistoryRow(seed=trial.task.seed, epoch=epoch) for epoch in position.history]
        record = self._record(diverged, found, probabilities)
        if trial.group is not None:
            record = record.but(processes=trial.group.count)
        if weighted is not None and not diverged:
            record = record.but(weighted_validation_loss=weighted)
        if trial.task.threshold is not None and not diverged:
            record = record.but(threshold=thresholds.decide(trial.task.threshold, judged["validation"], judged["test"]))
        if diverged:
            return TrialResult(record, history, probabilities, None)
        norms = trial.gradient_norms() if trial.task.traces_gradients else None
        validation = scores.probabilities(judged["validation"][1])
        return TrialResult(record, history, probabilities, trial.network.get_weights(), norms, validation)

    def _record(self, diverged: str | None, found: dict[str, Scores], probabilities: NDArray[np.float32]) -> TrialRecord:
        trial, position = self._trial, self._trial.loop.position
        history, parts = position.history, trial.parts
        seconds = sum(epoch.seconds for epoch in history)
        tokens = sum(epoch.seconds * epoch.tokens_per_second for epoch in history)
        return TrialRecord(
            seed=trial.task.seed,
            status="diverged" if diverged else "finished",
            diverged=diverged,
            epochs=len(history),
            steps=len(history) * trial.loop.steps,
            best_epoch=position.best_epoch,
            parameters=int(trial.network.count_params()),
            device=trial.device.type,
            kernel=trial.kernel,
            continued=self._continued,
            train=found.get("train"),
            validation=found.get("validation"),
            test=found.get("test"),
            calibration=None if diverged else scores.calibration(parts.test.labels, probabilities),
            last_epoch=LossAndAccuracy(loss=history[-1].loss, accuracy=history[-1].accuracy) if history else None,
            train_reviews=len(parts.train),
            validation_reviews=len(parts.validation),
            test_reviews=len(parts.test),
            seconds=seconds,
            tokens_per_second=tokens / seconds if seconds else 0.0,
        )
