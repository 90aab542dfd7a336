"""Trains one network on batches by a step loop of our own. Knows no path, no display and no exit code."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.analysis.scores import EQUAL, Weights
from job.errors import ConfigurationError, DeviceMemoryError
from job.network.build import set_weights
from job.network.forward import Inputs, Logits, Share
from job.presets import Hyperparameters
from job.records.history import Epoch
from job.training.feed import Feed, Step
from job.training.position import Position

if TYPE_CHECKING:
    from job.training.group import Group


@dataclass(frozen=True)
class State:
    """Everything that a training needs to go on: values for JSON, and arrays."""

    position: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


class Trainable(Protocol):
    """A network on its way to logits."""

    network: keras.Model
    values: Hyperparameters

    def logits(self, inputs: Inputs, draw: tf.Tensor, share: Share | None = None) -> Logits:
        """Of a batch, or of a share of it; all of its dropout is drawn from `draw`, <int32>[2]."""


class Training:
    """The training of one network, which can be left after any step and taken up again with nothing changed.

    Args:
        feed: The steps' batches.
        validate: Measures (loss, accuracy) on the validation data, where there are any.
        class_weights: What an error on a negative and on a positive review counts in the loss.
        group: The processes that share every step.
    """

    def __init__(
        self,
        forward: Trainable,
        optimizer: keras.optimizers.Optimizer,
        seed: int,
        feed: Feed,
        validate: Callable[[], tuple[float, float]] | None,
        class_weights: Weights = EQUAL,
        group: "Group | None" = None,
    ) -> None:
        self._network, self._values, self._optimizer, self._seed = forward.network, forward.values, optimizer, seed
        self.steps = feed.steps
        self._feed, self._validate = feed, validate
        self._run_steps = feed.compile(make_step(forward, optimizer, class_weights, group))
        self._best: list[NDArray[Any]] = []
        self.position = Position()

    def state(self) -> State:
        """What `restore` takes. Whole whenever `run` calls back, and when an exception has left it."""
        groups = {
            "weights": self._network.get_weights(),
            "optimizer": [variable.numpy() for variable in self._optimizer.variables],
            # Right after the best epoch they are the same.
            "best": [] if self._at_best() else self._best,
        }
        arrays = {f"{group}-{number:03}": array for group, each in groups.items() for number, array in enumerate(each)}
        return State(asdict(self.position), arrays)

    def restore(self, state: State) -> None:
        """Goes back to where `state` was taken.

        Raises:
            ConfigurationError: It is of a network of another size, or of another version.
        """
        try:
            self._restore(state)
        except (LookupError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"an unfinished training was left in another form than this version's ({' '.join(str(error).split())[:200]}); pass --fresh to discard it, or choose another --output"
            ) from None

    def _restore(self, state: State) -> None:
        history = [Epoch(**epoch) for epoch in state.position["history"]]
        self.position = Position(**(state.position | {"history": history}))
        groups = {
            group: [state.arrays[key] for key in sorted(state.arrays) if key.startswith(group)]
            for group in ("weights", "optimizer", "best")
        }
        set_weights(self._network, groups["weights"])
        for variable, value in zip(self._optimizer.variables, groups["optimizer"], strict=True):
            variable.assign(value)
        self._best = groups["weights"] if self._at_best() else groups["best"]

    def release(self) -> None:
        """Frees the memory of the network and the optimizer, neither of which can be used afterwards.

        TensorFlow keeps the graphs of functions that were traced, and with them all variables that these use, for as long
        as the process lives: some 95 MB for each training of the preset `standard`.
        """
        for variable in [*self._network.variables, *self._optimizer.variables]:
            tf.raw_ops.AssignVariableOp(resource=variable.value.handle, value=tf.zeros([0], variable.value.dtype))

    def _at_best(self) -> bool:
        return self.position.step == 0 and self.position.epoch == self.position.best_epoch + 1

    def run(self, on_step: Callable[[Position], None], on_epoch: Callable[[Epoch], None]) -> None:
        """Trains to the end; the network is left with the weights of the epoch with the best validation loss, or of the last, as `keep` says.

        Raises:
            DeviceMemoryError: A step needs more memory than the device has.
        """
        while not self.position.ended:
            self._run_epoch(on_step)
            epoch = None if self.position.ended else self._close_epoch()
            if epoch:
                on_epoch(epoch)
        if self._best:
            self._network.set_weights(self._best)

    def _run_epoch(self, on_step: Callable[[Position], None]) -> None:
        position = self.position
        calls = iter(self._feed.calls(position.epoch, position.step))
        while position.step < self.steps:
            started = time.perf_counter()
            call = next(calls)
            # Every step draws its dropout from numbers of its own: eight, for as many kinds.
            numbers = (position.epoch - 1) * self.steps + position.step + 1 + np.arange(len(call.reviews))
            draws = np.stack([np.full(len(numbers), self._seed), 8 * numbers], axis=1).astype(np.int32)
            with explained_memory(f"{max(call.reviews)}×{call.longest}"):
                losses, hits = self._run_steps(call, draws)
            for loss, right, reviews, tokens in zip(losses, hits, call.reviews, call.tokens, strict=True):
                position.step += 1
                position.loss_sum += float(loss) * reviews
                position.correct += float(right)
                position.reviews += reviews
                position.tokens += tokens
                if not np.isfinite(position.loss_sum):
                    self._diverge(f"the loss was not a number at step {position.step} of epoch {position.epoch}")
                    return
            position.seconds += time.perf_counter() - started
            on_step(position)

    def _close_epoch(self) -> Epoch | None:
        position = self.position
        scores = self._validate() if self._validate else None
        weights = self._network.get_weights()
        epoch = Epoch(
            epoch=position.epoch,
            loss=position.loss,
            accuracy=position.accuracy,
            validation_loss=scores[0] if scores else None,
            validation_accuracy=scores[1] if scores else None,
            learning_rate=float(self._optimizer.learning_rate),
            seconds=position.seconds,
            tokens_per_second=position.tokens_per_second,
        )
        if not np.isfinite(scores[0] if scores else 0.0) or not all(np.isfinite(array).all() for array in weights):
            self._diverge(
                f"the validation loss or a weight was not a number after step {position.step} of epoch {position.epoch}"
            )
            return None
        history, ended = [*position.history, epoch], position.epoch >= self._values.epochs
        best_epoch, best_loss = position.best_epoch, position.best_loss
        if self._values.keep == "last" or scores is None or best_loss is None or scores[0] < best_loss:
            self._best, best_epoch, best_loss = weights, position.epoch, scores[0] if scores else None
        if self._values.learned_accuracy and scores and scores[1] >= self._values.learned_accuracy:
            ended = True
        self.position = Position(
            epoch=position.epoch + 1, history=history, best_epoch=best_epoch, best_loss=best_loss, ended=ended
        )
        return epoch

    def _diverge(self, where: str) -> None:
        self.position.ended, self.position.diverged = True, f"{where}, seed {self._seed}"


@contextmanager
def explained_memory(shape: str) -> Iterator[None]:
    """Says of a batch that does not fit into memory what to lower.

    Args:
        shape: Of the batch, in words.

    Raises:
        DeviceMemoryError: The device has too little memory for what is computed within.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise DeviceMemoryError(
            f"the memory did not suffice for a batch of {shape} tokens; lower --batch-size, --max-tokens or --units"
        ) from None


def make_step(
    forward: Trainable,
    optimizer: keras.optimizers.Optimizer,
    class_weights: Weights = EQUAL,
    group: "Group | None" = None,
) -> Step:
    """The training step, still to be compiled by what feeds it.

    Args:
        class_weights: As in `Training`. The loss is the mean over the batch of the weighted cross-entropies, as with Keras's
            `class_weight`.
        group: As in `Training`.
    """
    variables = forward.network.trainable_variables
    optimizer.build(variables)

    share = forward.values.alone_share

    def compute(inputs: Inputs, labels: tf.Tensor, draw: tf.Tensor, mine: Share | None) -> tuple[list[tf.Tensor], list[Any]]:
        """Loss and hits, and the gradients; of a share, what it adds to those of the batch."""
        if mine:
            labels = tf.gather(labels, mine.places)
        with tf.GradientTape() as tape:
            logits = forward.logits(inputs, draw, mine)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits.whole)
            if share:
                alone = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits.alone)
                losses = (1.0 - share) * losses + share * alone
            if class_weights != EQUAL:
                losses *= tf.where(labels > 0.5, class_weights[1], class_weights[0])
            loss = tf.reduce_sum(losses) / tf.cast(mine.batch, tf.float32) if mine else tf.reduce_mean(losses)
        hits = tf.reduce_sum(tf.cast(tf.equal(logits.whole > 0, labels > 0.5), tf.float32))
        return [loss, hits], tape.gradient(loss, variables)

    def step(inputs: Inputs, labels: tf.Tensor, draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if group is None:
            (loss, hits), gradients = compute(inputs, labels, draw, None)
        else:
            (loss, hits), gradients = group.sum(lambda: compute(inputs, labels, draw, group.share(inputs.tokens)))
        optimizer.apply(gradients, variables)
        return loss, hits

    return step
