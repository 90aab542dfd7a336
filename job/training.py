"""Trains one network on batches by a step loop of our own. Knows no path, no display and no exit code."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.config import Hyperparameters
from job.errors import DeviceMemoryError


class Batch(Protocol):
    """Reviews to train on in one step."""

    @property
    def tokens(self) -> NDArray[np.int32]:
        """<int32>[batch, length], padded at the end with 0."""

    @property
    def labels(self) -> NDArray[np.float32]:
        """<float32>[batch], 0 or 1."""


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One line of the history. Training figures are means over the epoch's steps, as Keras's progress bar shows them."""

    epoch: int
    """From 1."""
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    """At the epoch's end."""
    seconds: float
    tokens_per_second: float
    """Real tokens trained on a second, without padding."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training stands, after one step."""

    epoch: int
    step: int
    steps: int
    """Of one epoch."""
    loss: float
    accuracy: float
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How training went."""

    history: list[Epoch]
    best_epoch: int
    """From 1; 0 where no epoch was finished."""
    diverged: str | None
    """Where the loss stopped being a number, in words; None for a run that finished."""
    seconds: float
    """Spent in training steps, in whole epochs."""
    tokens: int
    """Real tokens trained on."""


def train(
    network: keras.Model,
    forward: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    optimizer: keras.optimizers.Optimizer,
    values: Hyperparameters,
    seed: int,
    steps: int,
    batches: Callable[[int], Iterable[Batch]],
    validate: Callable[[], tuple[float, float]] | None,
    on_step: Callable[[Progress], None],
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Trains a network; it is left with the weights of the epoch with the best validation loss, or of the last.

    Args:
        forward: From (tokens, draw), as in `make_step`, to the logits <float32>[batch] in training.
        steps: Batches of one epoch.
        batches: From the epoch's number (from 1) to its batches.
        validate: Measures (loss, accuracy) on the validation data, where there are any.

    Raises:
        DeviceMemoryError: A step needs more memory than the device has.
    """
    step_function = make_step(network, forward, optimizer)
    history: list[Epoch] = []
    best, best_epoch, best_loss = network.get_weights(), 0, np.inf
    seconds, tokens_seen = 0.0, 0
    for epoch in range(1, values.epochs + 1):
        total_loss = correct = 0.0
        reviews = tokens = 0
        started = time.perf_counter()
        for step, batch in enumerate(batches(epoch), 1):
            # Every step draws its dropout from numbers of its own: two, for the two kinds.
            draw = np.array([seed, 2 * ((epoch - 1) * steps + step)], np.int32)
            try:
                loss, hits = step_function(batch.tokens, batch.labels, draw)
            except tf.errors.ResourceExhaustedError:
                shape = "×".join(map(str, batch.tokens.shape))
                raise DeviceMemoryError(
                    f"the memory did not suffice for a batch of {shape} tokens; lower --batch-size, --max-tokens or --units"
                ) from None
            total_loss += float(loss) * len(batch.labels)
            if not np.isfinite(total_loss):
                where = f"the loss was not a number at step {step} of epoch {epoch}, seed {seed}"
                return Trained(history=history, best_epoch=best_epoch, diverged=where, seconds=seconds, tokens=tokens_seen)
            correct += float(hits)
            reviews += len(batch.labels)
            tokens += int(np.count_nonzero(batch.tokens))
            rate = tokens / (time.perf_counter() - started)
            on_step(
                Progress(
                    epoch=epoch,
                    step=step,
                    steps=steps,
                    loss=total_loss / reviews,
                    accuracy=correct / reviews,
                    tokens_per_second=rate,
                )
            )
        elapsed = time.perf_counter() - started
        seconds, tokens_seen = seconds + elapsed, tokens_seen + tokens
        scores = validate() if validate else None
        history.append(
            Epoch(
                epoch=epoch,
                loss=total_loss / reviews,
                accuracy=correct / reviews,
                validation_loss=scores[0] if scores else None,
                validation_accuracy=scores[1] if scores else None,
                learning_rate=float(optimizer.learning_rate),
                seconds=elapsed,
                tokens_per_second=tokens / elapsed,
            )
        )
        on_epoch(history[-1])
        if scores is None or scores[0] < best_loss:
            best, best_epoch, best_loss = network.get_weights(), epoch, scores[0] if scores else np.inf
        elif values.patience and epoch - best_epoch >= values.patience:
            break
    network.set_weights(best)
    return Trained(history=history, best_epoch=best_epoch, diverged=None, seconds=seconds, tokens=tokens_seen)


def make_step(
    network: keras.Model, forward: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], optimizer: keras.optimizers.Optimizer
) -> Any:
    """The training step: (tokens <int32>[batch, length], labels <float32>[batch], draw <int32>[2]) to (loss, hits)."""
    optimizer.build(network.trainable_variables)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.float32), tf.TensorSpec([2], tf.int32)]
    )
    def step(tokens: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = forward(tokens, draw)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        hits = tf.reduce_sum(tf.cast(tf.equal(logits > 0, labels > 0.5), tf.float32))
        return loss, hits

    return step
