"""What training steps are fed with: batches that the host assembles, or reviews that the device holds and gathers itself."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.network.forward import SIGNATURE, Inputs, Readable
from job.presets import PAD

Step = Callable[[Inputs, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""(inputs, labels <float32>[batch], draw <int32>[2]) to (mean loss, hits), both <float32>[]."""
# Steps in one call: enough that the host's part of a call is nothing, few enough that a signal need not wait.
_CALL = 16


class Batch(Readable, Protocol):
    """Reviews to train on in one step."""

    @property
    def labels(self) -> NDArray[np.float32]:
        """<float32>[batch], 0 to 1."""


@dataclass(frozen=True)
class Call:
    """Some steps that are done in one go."""

    arrays: tuple[NDArray[Any], ...]
    """What the feed's function takes."""
    reviews: list[int]
    """Of each step."""
    tokens: list[int]
    """Of each step, without padding."""
    longest: int
    """Tokens of the longest review."""


class Feed(Protocol):
    """An epoch's steps, in calls."""

    steps: int
    """Of an epoch."""

    def calls(self, epoch: int, done: int) -> Iterable[Call]:
        """The epoch's steps (epochs from 1) but for the first `done` ones."""

    def compile(self, step: Step) -> Callable[[Call, NDArray[np.int32]], tuple[Any, Any]]:
        """A function from a call and its draws <int32>[steps, 2] to losses and hits, both <float32>[steps]."""


class HostFeed:
    """Each step's batch is assembled on the host.

    Args:
        batches: From the epoch's number (from 1) and the batches to leave out at its beginning to the other ones.
    """

    def __init__(self, steps: int, batches: Callable[[int, int], Iterable[Batch]]) -> None:
        self.steps, self._batches = steps, batches

    def calls(self, epoch: int, done: int) -> Iterator[Call]:
        """See `Feed`."""
        for batch in self._batches(epoch, done):
            tokens = int(np.count_nonzero(batch.tokens))
            arrays = (batch.tokens, batch.numbers, batch.linear, batch.labels)
            yield Call(arrays, [len(batch.labels)], [tokens], batch.tokens.shape[1])

    def compile(self, step: Step) -> Callable[[Call, NDArray[np.int32]], tuple[Any, Any]]:
        """See `Feed`."""

        @tf.function(
            input_signature=[*SIGNATURE, tf.TensorSpec([None], tf.float32), tf.TensorSpec([2], tf.int32)], autograph=False
        )
        def compiled(
            tokens: tf.Tensor, numbers: tf.Tensor, linear: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            return step(Inputs(tokens, numbers, linear), labels, draw)

        def run(call: Call, draws: NDArray[np.int32]) -> tuple[Any, Any]:
            loss, hits = compiled(*call.arrays, draws[0])
            return loss.numpy()[None], hits.numpy()[None]

        return run


class DeviceFeed:
    """The device holds all reviews, gathers each step's batch, and does several steps in one call.

    Args:
        tokens: <int32>[all tokens], of the reviews one after the other.
        lengths: <int64>[reviews], tokens of each, in that order.
        labels: <float32>[reviews]
        numbers: <float16>[all tokens, kinds], the evidence's.
        linear: <float32>[reviews], the linear model's logits.
        order: From the epoch's number (from 1) to its batches: for each the numbers of its reviews.
    """

    def __init__(
        self,
        tokens: NDArray[np.int32],
        lengths: NDArray[np.int64],
        labels: NDArray[np.float32],
        numbers: NDArray[np.float16],
        linear: NDArray[np.float32],
        order: Callable[[int], list[NDArray[np.int64]]],
        steps: int,
    ) -> None:
        self.steps, self._order, self._lengths = steps, order, lengths
        ends = np.cumsum(lengths)
        self._held = [tf.constant(array) for array in (tokens, ends - lengths, lengths, labels, numbers, linear)]

    def calls(self, epoch: int, done: int) -> Iterator[Call]:
        """See `Feed`."""
        batches = self._order(epoch)[done:]
        while batches:
            # Batches of one size make a call; the epoch's last one may be smaller.
            count = next((n for n, each in enumerate(batches[:_CALL]) if len(each) != len(batches[0])), len(batches[:_CALL]))
            chosen, batches = np.stack(batches[:count]), batches[count:]
            lengths = self._lengths[chosen]
            yield Call((chosen,), [chosen.shape[1]] * count, lengths.sum(1).tolist(), int(lengths.max()))

    def compile(self, step: Step) -> Callable[[Call, NDArray[np.int32]], tuple[Any, Any]]:
        """See `Feed`."""

        @tf.function(
            input_signature=[tf.TensorSpec([None, None], tf.int64), tf.TensorSpec([None, 2], tf.int32)], autograph=False
        )
        def steps(chosen: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            count = tf.shape(chosen)[0]

            def body(number: tf.Tensor, losses: Any, hits: Any) -> tuple[Any, Any, Any]:
                loss, right = step(*self._gather(chosen[number]), draws[number])
                return number + 1, losses.write(number, loss), hits.write(number, right)

            empty = (0, tf.TensorArray(tf.float32, count), tf.TensorArray(tf.float32, count))
            # The next step begins with the weights that this one leaves.
            _, losses, hits = tf.while_loop(lambda number, *_: number < count, body, empty, parallel_iterations=1)
            return losses.stack(), hits.stack()

        def run(call: Call, draws: NDArray[np.int32]) -> tuple[Any, Any]:
            losses, hits = steps(*call.arrays, draws)
            return losses.numpy(), hits.numpy()

        return run

    def _gather(self, chosen: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        tokens, starts, lengths, labels, numbers, linear = self._held
        begin, length = tf.gather(starts, chosen), tf.gather(lengths, chosen)
        span = tf.range(tf.reduce_max(length))[None]
        inside = span < length[:, None]
        places = tf.where(inside, begin[:, None] + span, 0)
        found = tf.where(inside, tf.gather(tokens, places), PAD)
        told = tf.where(inside[:, :, None], tf.gather(numbers, places), tf.constant(0.0, tf.float16))
        return Inputs(found, told, tf.gather(linear, chosen)), tf.gather(labels, chosen)
