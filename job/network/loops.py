"""The recurrences on a CPU: one compiled loop over time steps a direction, with gradients written by hand (on a GPU: job/network/cudnn.py).

A loop does nothing but the recurrent product, the activation and, where states are pooled, that: the input's projection
comes in ready-made, and the gradient of the recurrent kernel is one large product after the loop. As many steps are done as
the batch is long, in buffers of few sizes, so that XLA compiles a loop few times. Both directions of a network run beside
each other, each on a core of its own. Equations: Keras's SimpleRNN and LSTM (gates in the order input, forget, candidate,
output).

The loops are all that XLA compiles: what prepares its library YNNPACK, to which it gives reductions, is not safe from a
second thread (TensorFlow 2.21: `EmitYnnSubgraph` pushes to a vector that all runs share).
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from job.presets import Architecture

# Sizes of buffers up to the longest review: fewer compile less often, more copy less that is not used.
_SIZES = 8


def buffer_length(length: tf.Tensor, max_tokens: int) -> tf.Tensor:
    """The buffer's time steps for a batch of `length`."""
    step = -(-max_tokens // _SIZES)
    return (length + step - 1) // step * step


class Kind(NamedTuple):
    """What a loop is compiled for."""

    architecture: Architecture
    activation: str
    """`tanh`, or of a SimpleRNN `relu`."""
    pooled: bool
    """Whether the states are pooled within the loop, where they are at hand, instead of returned."""


class Steps(NamedTuple):
    """The steps of a buffer that a loop does."""

    mask: tf.Tensor
    """<float32>[time, batch, 1], 1 for tokens and 0 for padding, which is at the end."""
    length: tf.Tensor
    """<int32>[], time steps to do; the rest of the buffer stays 0."""


def recur(kind: Kind, projected: tf.Tensor, kernel: tf.Tensor, steps: Steps, backward: bool) -> tuple[tf.Tensor, ...]:
    """The states of a recurrence over time, or what is pooled of them.

    Args:
        projected: <float32>[time, batch, gates], the input times its kernel, plus the bias; gates are units, of an LSTM
            four times units.
        kernel: <float32>[units, gates], the recurrent kernel.
        backward: From the last token to the first.

    Returns:
        <float32>[time, batch, units], 0 after a review's end; the gradient that comes back must be 0 there. If `kind.pooled`,
        each unit's highest state and its states' sum instead, two of <float32>[batch, units]; highest states that are
        equal share their gradient.
    """
    run, run_gradient = _LOOPS[kind]
    direction = tf.constant(backward)

    @tf.custom_gradient
    def recurrence(
        projected: tf.Tensor, kernel: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], Callable[..., tuple[tf.Tensor, tf.Tensor]]]:
        # The gradient is below; a tape that looks on must not derive another one of the loop.
        states, kept, read = run(tf.stop_gradient(projected), tf.stop_gradient(kernel), steps, direction)

        def gradient(*upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if kind.pooled:
                highest, ties, _ = read
                # A row that only fills a buffer has no highest state.
                upstream = (highest, upstream[0] / tf.maximum(ties, 1.0), upstream[1])
            inner = run_gradient(upstream, states, kept, kernel, steps, direction)
            # What came before a step is, backward, the one after it.
            before, after = (states[1:], inner[:-1]) if backward else (states[:-1], inner[1:])
            units, gates = kernel.shape
            product = tf.matmul(tf.reshape(before, [-1, units]), tf.reshape(after, [-1, gates]), transpose_a=True)
            return inner, product

        return (read[0], read[2]) if kind.pooled else (states,), gradient

    result: tuple[tf.Tensor, ...] = recurrence(projected, kernel)
    return result


def pool(states: list[tf.Tensor], mask: tf.Tensor) -> tf.Tensor:
    """Each direction's highest states of a review, then each one's mean states: <float32>[batch, 2 * directions * units].

    Args:
        states: Of each direction <float32>[time, batch, units], all above -1, and 0 where there is no token.
        mask: <float32>[time, batch, 1]
    """
    # Where there is no token, the sum puts a state below any other one.
    highest = [tf.reduce_max(direction + 2.0 * (mask - 1.0), axis=0) for direction in states]
    return tf.concat([*highest, *means([tf.reduce_sum(direction, axis=0) for direction in states], mask)], axis=1)


def means(totals: Iterable[tf.Tensor], mask: tf.Tensor) -> list[tf.Tensor]:
    """Sums of states <float32>[batch, units] by the tokens of each review."""
    count = tf.maximum(tf.reduce_sum(mask, axis=0), 1.0)
    return [total / count for total in totals]


# XLA's own slices, as TensorFlow's would be compiled again for each value that their beginning depends on, and a scattered
# update reads what it overwrites, to keep it where the place is none.
def _at(buffer: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    return xla.dynamic_slice(buffer, _start(buffer, step), tf.concat([[1], tf.shape(buffer)[1:]], 0))[0]


def _put(buffer: tf.Tensor, step: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return xla.dynamic_update_slice(buffer, value[None], _start(buffer, step))


def _start(buffer: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    return tf.stack([step, *[0] * (buffer.shape.rank - 1)])


def _nothing_read(batch: tf.Tensor, units: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The highest states so far, below any state; how many steps had them; and the states' sum."""
    return tf.fill([batch, units], -2.0), tf.zeros([batch, units]), tf.zeros([batch, units])


def _read(so_far: tuple[tf.Tensor, ...], state: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The same after one more step."""
    if not so_far:
        return ()
    highest, ties, total = so_far
    is_token = mask > 0.0
    is_higher = is_token & (state > highest)
    ties = tf.where(is_higher, 1.0, ties + tf.cast(is_token & (state == highest), tf.float32))
    return tf.where(is_higher, state, highest), ties, total + state


def _upstream_at(upstream: tuple[tf.Tensor, ...], state: tf.Tensor, mask: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """A step's gradient by its state, from that by all states or from that by what was read of them."""
    if len(upstream) == 1:
        return _at(upstream[0], step)
    highest, by_highest, by_total = upstream
    return (tf.where(state == highest, by_highest, 0.0) + by_total) * mask


def _rnn_loops(
    activate: Callable[[tf.Tensor], tf.Tensor], slope: Callable[[tf.Tensor], tf.Tensor], pooled: bool
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A SimpleRNN's loop and its gradient's.

    Args:
        slope: The activation's derivative, from what it gave.
        pooled: The states are read in the loop, and the gradient is by what was read.
    """

    @tf.function(jit_compile=True, autograph=False)
    def rnn(
        projected: tf.Tensor, kernel: tf.Tensor, steps: Steps, backward: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
        (mask, length), (time, batch, units) = steps, tf.unstack(tf.shape(projected))

        def body(done: tf.Tensor, state: tf.Tensor, states: tf.Tensor, read: tuple[tf.Tensor, ...]) -> tuple[Any, ...]:
            step = tf.where(backward, length - 1 - done, done)
            is_token = _at(mask, step)
            state = activate(_at(projected, step) + tf.matmul(state, kernel)) * is_token
            return done + 1, state, _put(states, step, state), _read(read, state, is_token)

        read = _nothing_read(batch, units) if pooled else ()
        start = (0, tf.zeros([batch, units]), tf.zeros([time, batch, units]), read)
        _, _, states, read = tf.while_loop(lambda done, *_: done < length, body, start)
        return states, (), read

    @tf.function(jit_compile=True, autograph=False)
    def rnn_gradient(
        upstream: tuple[tf.Tensor, ...],
        states: tf.Tensor,
        kept: tuple[()],
        kernel: tf.Tensor,
        steps: Steps,
        backward: tf.Tensor,
    ) -> tf.Tensor:
        (mask, length), (time, batch, units) = steps, tf.unstack(tf.shape(states))
        transposed = tf.transpose(kernel)

        def body(done: tf.Tensor, later: tf.Tensor, inner: tf.Tensor) -> tuple[tf.Tensor, ...]:
            step = tf.where(backward, done, length - 1 - done)
            state, is_token = _at(states, step), _at(mask, step)
            value = (later + _upstream_at(upstream, state, is_token, step)) * slope(state) * is_token
            return done + 1, tf.matmul(value, transposed), _put(inner, step, value)

        start = (0, tf.zeros([batch, units]), tf.zeros([time, batch, units]))
        return tf.while_loop(lambda done, *_: done < length, body, start)[-1]

    return rnn, rnn_gradient


def _lstm_loops(pooled: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """An LSTM's loop and its gradient's; `pooled` as in `_rnn_loops`."""

    @tf.function(jit_compile=True, autograph=False)
    def lstm(
        projected: tf.Tensor, kernel: tf.Tensor, steps: Steps, backward: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
        (mask, length), (time, batch, gates) = steps, tf.unstack(tf.shape(projected))
        units = kernel.shape[0]
        # A sigmoid is a tanh of half the argument, halved and raised; so one activation serves all gates.
        scale = tf.constant(np.repeat([0.5, 0.5, 1.0, 0.5], units), tf.float32)
        shift = tf.constant(np.repeat([0.5, 0.5, 0.0, 0.5], units), tf.float32)

        def body(
            done: tf.Tensor,
            state: tf.Tensor,
            cell: tf.Tensor,
            states: tf.Tensor,
            kept: tuple[tf.Tensor, tf.Tensor],
            read: tuple[tf.Tensor, ...],
        ) -> tuple[Any, ...]:
            step, (cells, activations) = tf.where(backward, length - 1 - done, done), kept
            is_token = _at(mask, step)
            active = tf.tanh((_at(projected, step) + tf.matmul(state, kernel)) * scale) * scale + shift
            let_in, keep, candidate, let_out = tf.split(active, 4, axis=1)
            cell = (keep * cell + let_in * candidate) * is_token
            state = let_out * tf.tanh(cell)
            kept = _put(cells, step, cell), _put(activations, step, active)
            return done + 1, state, cell, _put(states, step, state), kept, _read(read, state, is_token)

        zero, states = tf.zeros([batch, units]), tf.zeros([time, batch, units])
        read = _nothing_read(batch, units) if pooled else ()
        start = (0, zero, zero, states, (states, tf.zeros([time, batch, gates])), read)
        _, _, _, states, kept, read = tf.while_loop(lambda done, *_: done < length, body, start)
        return states, kept, read

    @tf.function(jit_compile=True, autograph=False)
    def lstm_gradient(
        upstream: tuple[tf.Tensor, ...],
        states: tf.Tensor,
        kept: tuple[tf.Tensor, tf.Tensor],
        kernel: tf.Tensor,
        steps: Steps,
        backward: tf.Tensor,
    ) -> tf.Tensor:
        (mask, length), (time, batch, units) = steps, tf.unstack(tf.shape(states))
        transposed, (cells, activations) = tf.transpose(kernel), kept

        def body(done: tf.Tensor, later: tf.Tensor, later_cell: tf.Tensor, inner: tf.Tensor) -> tuple[tf.Tensor, ...]:
            step = tf.where(backward, done, length - 1 - done)
            previous = tf.where(backward, step + 1, step - 1)
            is_inside = tf.cast((previous >= 0) & (previous < length), tf.float32)
            cell_before = _at(cells, tf.clip_by_value(previous, 0, time - 1)) * is_inside
            let_in, keep, candidate, let_out = tf.split(_at(activations, step), 4, axis=1)
            squashed = tf.tanh(_at(cells, step))
            is_token = _at(mask, step)
            state = later + _upstream_at(upstream, _at(states, step), is_token, step)
            cell = (later_cell + state * let_out * (1.0 - squashed * squashed)) * is_token
            value = tf.concat(
                [
                    cell * candidate * let_in * (1.0 - let_in),
                    cell * cell_before * keep * (1.0 - keep),
                    cell * let_in * (1.0 - candidate * candidate),
                    state * squashed * let_out * (1.0 - let_out),
                ],
                axis=1,
            )
            return done + 1, tf.matmul(value, transposed), cell * keep, _put(inner, step, value)

        zero = tf.zeros([batch, units])
        start = (0, zero, zero, tf.zeros([time, batch, 4 * units]))
        return tf.while_loop(lambda done, *_: done < length, body, start)[-1]

    return lstm, lstm_gradient


_LOOPS = {
    Kind(architecture, activation, pooled): loops
    for pooled in (False, True)
    for architecture, activation, loops in (
        (Architecture.rnn, "tanh", _rnn_loops(tf.tanh, lambda state: 1.0 - state * state, pooled)),
        (Architecture.rnn, "relu", _rnn_loops(tf.nn.relu, lambda state: tf.cast(state > 0.0, tf.float32), pooled)),
        (Architecture.lstm, "tanh", _lstm_loops(pooled)),
    )
}
