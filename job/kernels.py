"""The recurrences: on a GPU cuDNN's, on a CPU one compiled loop over time steps a direction, with gradients written by hand.

On a CPU a loop does nothing but the recurrent product and the activation: the input's projection comes in ready-made, and the
gradient of the recurrent kernel is one large product after the loop. As many steps are done as the batch is long, in
buffers of few sizes, so that XLA compiles a loop few times. Both directions of a network run beside each other, each on
a core of its own. The loops are all that XLA compiles: what prepares its library YNNPACK, to which it gives reductions, is
not safe from a second thread (TensorFlow 2.21: `EmitYnnSubgraph` pushes to a vector that all runs share). Equations: Keras's SimpleRNN and LSTM (gates in the order input, forget, candidate, output).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from job.presets import Architecture

# Sizes of buffers up to the longest review: fewer compile less often, more copy less that is not used.
_SIZES = 8


def buffer_length(length: tf.Tensor, max_tokens: int) -> tf.Tensor:
    """The buffer's time steps for a batch of `length`."""
    step = -(-max_tokens // _SIZES)
    return (length + step - 1) // step * step


def recur(
    architecture: Architecture,
    activation: str,
    projected: tf.Tensor,
    kernel: tf.Tensor,
    mask: tf.Tensor,
    length: tf.Tensor,
    backward: bool,
) -> tf.Tensor:
    """The states of a recurrence over time.

    Args:
        activation: `tanh`, or of a SimpleRNN `relu`.
        projected: <float32>[time, batch, gates], the input times its kernel, plus the bias; gates are units, of an LSTM
            four times units.
        kernel: <float32>[units, gates], the recurrent kernel.
        mask: <float32>[time, batch, 1], 1 for tokens and 0 for padding, which is at the end.
        length: <int32>[], time steps to do; the rest of the buffer stays 0.
        backward: From the last token to the first.

    Returns:
        <float32>[time, batch, units], 0 after a review's end. The gradient that comes back must be 0 there.
    """
    run, run_gradient = _LOOPS[architecture, activation]
    direction = tf.constant(backward)

    @tf.custom_gradient
    def recurrence(
        projected: tf.Tensor, kernel: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        # The gradient is below; a tape that looks on must not derive another one of the loop.
        states, *kept = run(tf.stop_gradient(projected), tf.stop_gradient(kernel), mask, length, direction)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            inner = run_gradient(upstream, states, *kept, kernel, mask, length, direction)
            # What came before a step is, backward, the one after it.
            before, after = (states[1:], inner[:-1]) if backward else (states[:-1], inner[1:])
            units, gates = kernel.shape
            product = tf.matmul(tf.reshape(before, [-1, units]), tf.reshape(after, [-1, gates]), transpose_a=True)
            return inner, product

        return states, gradient

    states: tf.Tensor = recurrence(projected, kernel)
    return states


Cell = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""A direction's weights: kernel <float32>[features, gates], recurrent kernel <float32>[units, gates], bias <float32>[gates]."""


def recur_by_cudnn(
    architecture: Architecture, activation: str, inputs: tf.Tensor, cells: list[Cell], lengths: tf.Tensor, training: bool
) -> list[tf.Tensor]:
    """The states of a recurrence over time, both directions in one call; needs a GPU.

    Args:
        activation: As of `recur`.
        inputs: <float32>[time, batch, features]
        cells: One, or that of the backward direction, too.
        lengths: <int32>[batch], tokens of each review, at least 1; cuDNN skips the padding after them.
        training: Whether a gradient will be asked for.

    Returns:
        For each cell <float32>[time, batch, units], 0 after a review's end.
    """
    units = cells[0][1].shape[0]
    # cuDNN wants the matrices transposed, direction by direction, the input's before the recurrent ones, then the biases
    # in the same order, of which it adds two. Gates are in Keras's order.
    gates = cells[0][1].shape[1] // units
    matrices = [
        part for kernel, recurrent, _ in cells for each in (kernel, recurrent) for part in tf.split(each, gates, axis=1)
    ]
    biases = [part for _, _, bias in cells for part in (bias, tf.zeros_like(bias))]
    flat = [*(tf.reshape(tf.transpose(matrix), [-1]) for matrix in matrices), *biases]
    start = tf.zeros([len(cells), tf.shape(inputs)[1], units])
    states = tf.raw_ops.CudnnRNNV3(
        input=inputs,
        input_h=start,
        input_c=start if architecture is Architecture.lstm else tf.constant([], tf.float32),
        params=tf.concat(flat, 0),
        sequence_lengths=lengths,
        rnn_mode="lstm" if architecture is Architecture.lstm else f"rnn_{activation}",
        direction="bidirectional" if len(cells) == 2 else "unidirectional",
        is_training=training,
        time_major=True,
    ).output
    states.set_shape([None, None, len(cells) * units])
    return list(tf.split(states, len(cells), axis=2))


def pool(states: list[tf.Tensor], mask: tf.Tensor) -> tf.Tensor:
    """Each direction's highest states of a review, then each one's mean states: <float32>[batch, 2 * directions * units].

    Args:
        states: Of each direction <float32>[time, batch, units], all above -1, and 0 where there is no token.
        mask: <float32>[time, batch, 1]
    """
    # Where there is no token, the sum puts a state below any other one.
    highest = [tf.reduce_max(each + 2.0 * (mask - 1.0), axis=0) for each in states]
    count = tf.maximum(tf.reduce_sum(mask, axis=0), 1.0)
    return tf.concat([*highest, *(tf.reduce_sum(each, axis=0) / count for each in states)], axis=1)


def _at(buffer: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    # Not by a slice: XLA compiles again for each value that a slice's beginning depends on, here for every length.
    return tf.gather(buffer, step)


def _put(buffer: tf.Tensor, step: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_update(buffer, [[step]], [value])


def _rnn_loops(
    activate: Callable[[tf.Tensor], tf.Tensor], slope: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A SimpleRNN's loop and its gradient's.

    Args:
        slope: The activation's derivative, from what it gave.
    """

    @tf.function(jit_compile=True, autograph=False)
    def rnn(
        projected: tf.Tensor, kernel: tf.Tensor, mask: tf.Tensor, length: tf.Tensor, backward: tf.Tensor
    ) -> tuple[tf.Tensor]:
        time, batch, units = tf.unstack(tf.shape(projected))

        def body(done: tf.Tensor, state: tf.Tensor, states: tf.Tensor) -> tuple[tf.Tensor, ...]:
            step = tf.where(backward, length - 1 - done, done)
            state = activate(_at(projected, step) + tf.matmul(state, kernel)) * _at(mask, step)
            return done + 1, state, _put(states, step, state)

        start = (0, tf.zeros([batch, units]), tf.zeros([time, batch, units]))
        return (tf.while_loop(lambda done, *_: done < length, body, start)[-1],)

    @tf.function(jit_compile=True, autograph=False)
    def rnn_gradient(
        upstream: tf.Tensor, states: tf.Tensor, kernel: tf.Tensor, mask: tf.Tensor, length: tf.Tensor, backward: tf.Tensor
    ) -> tf.Tensor:
        time, batch, units = tf.unstack(tf.shape(states))
        transposed = tf.transpose(kernel)

        def body(done: tf.Tensor, later: tf.Tensor, inner: tf.Tensor) -> tuple[tf.Tensor, ...]:
            step = tf.where(backward, done, length - 1 - done)
            value = (later + _at(upstream, step)) * slope(_at(states, step)) * _at(mask, step)
            return done + 1, tf.matmul(value, transposed), _put(inner, step, value)

        start = (0, tf.zeros([batch, units]), tf.zeros([time, batch, units]))
        return tf.while_loop(lambda done, *_: done < length, body, start)[-1]

    return rnn, rnn_gradient


@tf.function(jit_compile=True, autograph=False)
def _lstm(
    projected: tf.Tensor, kernel: tf.Tensor, mask: tf.Tensor, length: tf.Tensor, backward: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    time, batch, gates = tf.unstack(tf.shape(projected))
    units = kernel.shape[0]
    # A sigmoid is a tanh of half the argument, halved and raised; so one activation serves all gates.
    scale = tf.constant(np.repeat([0.5, 0.5, 1.0, 0.5], units), tf.float32)
    shift = tf.constant(np.repeat([0.5, 0.5, 0.0, 0.5], units), tf.float32)

    def body(
        done: tf.Tensor, state: tf.Tensor, cell: tf.Tensor, states: tf.Tensor, cells: tf.Tensor, activations: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        step = tf.where(backward, length - 1 - done, done)
        active = tf.tanh((_at(projected, step) + tf.matmul(state, kernel)) * scale) * scale + shift
        let_in, keep, candidate, let_out = tf.split(active, 4, axis=1)
        cell = (keep * cell + let_in * candidate) * _at(mask, step)
        state = let_out * tf.tanh(cell)
        return done + 1, state, cell, _put(states, step, state), _put(cells, step, cell), _put(activations, step, active)

    zero, states = tf.zeros([batch, units]), tf.zeros([time, batch, units])
    start = (0, zero, zero, states, states, tf.zeros([time, batch, gates]))
    _, _, _, states, cells, activations = tf.while_loop(lambda done, *_: done < length, body, start)
    return states, cells, activations


@tf.function(jit_compile=True, autograph=False)
def _lstm_gradient(
    upstream: tf.Tensor,
    states: tf.Tensor,
    cells: tf.Tensor,
    activations: tf.Tensor,
    kernel: tf.Tensor,
    mask: tf.Tensor,
    length: tf.Tensor,
    backward: tf.Tensor,
) -> tf.Tensor:
    time, batch, units = tf.unstack(tf.shape(states))
    transposed = tf.transpose(kernel)

    def body(done: tf.Tensor, later: tf.Tensor, later_cell: tf.Tensor, inner: tf.Tensor) -> tuple[tf.Tensor, ...]:
        step = tf.where(backward, done, length - 1 - done)
        previous = tf.where(backward, step + 1, step - 1)
        is_inside = tf.cast((previous >= 0) & (previous < length), tf.float32)
        cell_before = _at(cells, tf.clip_by_value(previous, 0, time - 1)) * is_inside
        let_in, keep, candidate, let_out = tf.split(_at(activations, step), 4, axis=1)
        squashed = tf.tanh(_at(cells, step))
        state = later + _at(upstream, step)
        cell = (later_cell + state * let_out * (1.0 - squashed * squashed)) * _at(mask, step)
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


_LOOPS = {
    (Architecture.rnn, "tanh"): _rnn_loops(tf.tanh, lambda state: 1.0 - state * state),
    (Architecture.rnn, "relu"): _rnn_loops(tf.nn.relu, lambda state: tf.cast(state > 0.0, tf.float32)),
    (Architecture.lstm, "tanh"): (_lstm, _lstm_gradient),
}
