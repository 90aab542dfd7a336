"""One training: an architecture and a seed, from batches to scores, taken up again where it was left."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores as evaluation
from job.data import ngrams
from job.data.batches import Batch, evaluation_order, training_order
from job.data.corpus import Corpus
from job.data.reviews import Reviews, split
from job.machine import signals
from job.output.checkpoints import Checkpoints, Snapshot
from job.output.folder import Result
from job.presets import Architecture, Hyperparameters
from job.progress import Reporter

_EVALUATION_BATCH = 256
# A snapshot at each epoch's end, and when this many seconds have passed since the last one; where a disk is so slow
# that it would cost more than a hundredth of the time, correspondingly later.
_CHECKPOINT_SECONDS = 30.0
_LEAST_RATIO = 100.0
# Where gradients are traced: batches of validation reviews, and tokens back from the last one.
_GRADIENT_BATCHES = 4
_BACK = (0, 1, 2, 5, 10, 20, 50, 100, 200, 400)
# The part of a GPU's memory that the training reviews may take; where they need more, the host assembles the batches.
_RESIDENT_SHARE = 0.25


def build_network(architecture: Architecture, values: Hyperparameters, seed: int, train: Reviews) -> Any:
    """The network of `models.build` for the bigrams of these reviews, with the embeddings' start that `ratio_scale` asks for."""
    from job.network import forward as models

    size = values.vocabulary_size
    pairs = ngrams.frequent_bigrams(train, values.bigrams)
    network = models.build(architecture, values, seed, pairs)
    if values.ratio_scale:
        ratios = ngrams.log_count_ratios(train, pairs)
        models.add_to_embeddings(network, values.ratio_scale * ratios[:size], values.ratio_scale * ratios[size:])
    return network


class Trial:
    """The training and scoring of one architecture with one seed.

    Args:
        device: The `device` entry of metrics.json.
        place: Names the device and the software: what a continued training must share to be bit-identical.
        kernel: What runs the recurrence.
        name: Of the training, for people; by default the architecture's.
        traces_gradients: Whether `gradient_norms` is measured at the end.
    """

    def __init__(
        self,
        architecture: Architecture,
        seed: int,
        values: Hyperparameters,
        corpus: Corpus,
        device: dict[str, Any],
        place: str,
        kernel: str,
        name: str | None = None,
        traces_gradients: bool = False,
    ) -> None:
        from job.network import forward as models

        self._architecture, self._seed, self._values = architecture, seed, values
        self._device, self._place, self._kernel = device, place, kernel
        self._name, self._traces_gradients = name or str(architecture), traces_gradients
        self._train, self._validation, self._test = split(corpus, values)
        self._network = build_network(architecture, values, seed, self._train)
        self._logits_of = models.make_predict(self._network, values, kernel)
        self._continued: list[str] = []

    def run(self, checkpoints: Checkpoints, reporter: Reporter, look: Callable[[str], None]) -> Result:
        """Trains, from the last snapshot if there is one, and scores; the test reviews are used once, at the end.

        Args:
            look: Is told what for, before the test reviews are looked at.

        Raises:
            Interrupted: A signal came; what was reached is in a snapshot.
            DeviceMemoryError, OutputError, InputOutputError: As the parts raise them.
        """
        training = self._prepare(checkpoints, reporter)

        def save() -> None:
            state = training.state()
            values = {"position": state.position, "place": self._place, "continued": self._continued}
            step = (training.position.epoch - 1) * training.steps + training.position.step
            checkpoints.save(step, Snapshot(values, state.arrays))

        def on_step(position: Any) -> None:
            reporter.step(position, training.steps)
            if time.monotonic() - checkpoints.saved_at > max(_CHECKPOINT_SECONDS, _LEAST_RATIO * checkpoints.last_seconds):
                save()
            signals.raise_pending()

        def on_epoch(epoch: Any) -> None:
            save()
            reporter.epoch(epoch)

        try:
            with signals.deferred():
                training.run(on_step, on_epoch)
        except signals.Interrupted:
            save()
            raise
        result = self._score(training.position, training.steps, reporter, look)
        training.release()
        return result

    def _prepare(self, checkpoints: Checkpoints, reporter: Reporter) -> Any:
        from job.network import forward as models
        from job.training import loop as training
        from job.training import optimizer as optimizers

        values = self._values
        feed = self._feed()

        def validate() -> tuple[float, float]:
            return evaluation.losses(self._validation.labels, self._predict(self._validation))

        made = training.Training(
            self._network,
            partial(models.forward, self._network, values, self._kernel),
            optimizers.optimizer(values, feed.steps * values.epochs),
            values,
            self._seed,
            feed,
            validate if len(self._validation) else None,
        )
        snapshot = checkpoints.load()
        reporter.start(self._name, self._seed, values.epochs)
        if snapshot is not None:
            made.restore(training.State(snapshot.values["position"], snapshot.arrays))
            self._continued = list(snapshot.values["continued"])
            where = f"epoch {made.position.epoch} after step {made.position.step} of {made.steps}"
            if made.position.ended:
                where = "its evaluation"
            reporter.message(f"{self._name} seed {self._seed}: continued at {where}")
            if snapshot.values["place"] != self._place:
                change = f"at {where} from {snapshot.values['place']} to {self._place}"
                self._continued.append(change)
                reporter.message(
                    f"warning: going on {change}: the result will not be the same to the bit; metrics.json records it"
                )
        return made

    def _feed(self) -> Any:
        from job.training import feed

        values, train = self._values, self._train
        steps = -(-len(train) // values.batch_size)

        def order(epoch: int) -> list[NDArray[np.int64]]:
            return training_order(train.lengths, values.batch_size, values.length_pool, self._seed, epoch)

        def assembled(epoch: int, done: int) -> Iterable[Batch]:
            return train.batches(order(epoch)[done:])

        room = (self._device["memory_bytes"] or 0) * _RESIDENT_SHARE
        if train.length is None and 4 * train.lengths.sum() < room:
            return feed.DeviceFeed(train.flat(), train.lengths, train.labels.astype(np.float32), order, steps)
        return feed.HostFeed(steps, assembled)

    def _predict(self, reviews: Reviews) -> NDArray[np.float32]:
        """Logits <float32>[reviews]. A signal that is deferred ends it between batches."""
        from job.training.loop import explained_memory

        result = np.empty(len(reviews), np.float32)
        # Our loops are compiled for the shapes of training.
        size = self._values.batch_size if self._kernel == "xla" else _EVALUATION_BATCH
        order = evaluation_order(reviews.lengths, size)
        for places, batch in zip(order, reviews.batches(order), strict=True):
            with explained_memory("×".join(map(str, batch.tokens.shape))):
                result[places] = self._logits_of(batch.tokens)
            signals.raise_pending()
        return result

    def _score(self, position: Any, steps: int, reporter: Reporter, look: Callable[[str], None]) -> Result:
        history = [{"seed": self._seed} | asdict(epoch) for epoch in position.history]
        logits = {"train": self._train, "validation": self._validation, "test": self._test}
        scores: dict[str, Any] = dict.fromkeys(logits)
        probabilities = np.empty(0, np.float32)
        diverged, calibration = position.diverged, None
        if not diverged:
            for name, reviews in logits.items():
                if name == "test":
                    look(f"scores of {self._name}, seed {self._seed}")
                predicted = self._predict(reviews)
                if not np.isfinite(predicted).all():
                    diverged = f"a prediction for the {name} reviews was not a number after the last epoch, seed {self._seed}"
                    break
                if len(reviews):
                    scores[name] = evaluation.scores(reviews.labels, predicted)
            else:
                probabilities = evaluation.probabilities(predicted)
                calibration = evaluation.calibration(self._test.labels, probabilities)
        if diverged:
            reporter.message(f"warning: {self._name}: {diverged}; the other runs go on")
            scores = dict.fromkeys(scores)
        last = position.history[-1] if position.history else None
        seconds = sum(epoch.seconds for epoch in position.history)
        tokens = sum(epoch.seconds * epoch.tokens_per_second for epoch in position.history)
        record = {
            "seed": self._seed,
            "status": "diverged" if diverged else "finished",
            "diverged": diverged,
            "epochs": len(position.history),
            "steps": len(position.history) * steps,
            "best_epoch": position.best_epoch,
            "parameters": int(self._network.count_params()),
            "device": self._device["type"],
            "kernel": self._kernel,
            "continued": self._continued,
            **scores,
            "calibration": calibration,
            "last_epoch": {"loss": last.loss, "accuracy": last.accuracy} if last else None,
            "train_reviews": len(self._train),
            "validation_reviews": len(self._validation),
            "test_reviews": len(self._test),
            "seconds": seconds,
            "tokens_per_second": tokens / seconds if seconds else 0.0,
        }
        if self._traces_gradients:
            record["gradient_norms"] = None if diverged else self._gradient_norms()
        return Result(record, history, probabilities, None if diverged else self._network.get_weights())

    def _gradient_norms(self) -> list[dict[str, float]]:
        """How far back the trained network still feels a token: at growing distances from the end, `back`, `norm`.

        A norm is that of the logit's gradient by the token's embedding, the mean over validation reviews.
        """
        from job.network import forward as models

        values, size = self._values, self._values.batch_size
        chosen = self._validation.take(slice(_GRADIENT_BATCHES * size))
        norms_of = models.make_token_gradients(self._network, values, self._kernel)
        order = evaluation_order(chosen.corpus.lengths[chosen.indices], size)
        sums: dict[int, list[float]] = {}
        for batch in chosen.batches(order):
            lengths = np.count_nonzero(batch.tokens, axis=1)
            norms = norms_of(batch.tokens)
            for back in (each for each in _BACK if each < lengths.min()):
                sums.setdefault(back, []).extend(norms[np.arange(len(lengths)), lengths - 1 - back].tolist())
        return [{"back": back, "norm": float(np.mean(each))} for back, each in sums.items() if len(each) == len(chosen)]
