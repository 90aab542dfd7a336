"""The recurrences on a GPU: cuDNN's, both directions in one call, with the weights of the stock Keras layers."""

from typing import NamedTuple

import tensorflow as tf

from job.presets import Architecture


class Cell(NamedTuple):
    """A direction's weights."""

    kernel: tf.Tensor
    """<float32>[features, gates]"""
    recurrent: tf.Tensor
    """<float32>[units, gates], the recurrent kernel."""
    bias: tf.Tensor
    """<float32>[gates]"""


def recur(
    architecture: Architecture, activation: str, inputs: tf.Tensor, cells: list[Cell], lengths: tf.Tensor, training: bool
) -> list[tf.Tensor]:
    """The states of a recurrence over time, both directions in one call; needs a GPU.

    Args:
        activation: `tanh`, or of a SimpleRNN `relu`.
        inputs: <float32>[time, batch, features]
        cells: One, or that of the backward direction, too.
        lengths: <int32>[batch], tokens of each review, at least 1; cuDNN skips the padding after them.
        training: Whether a gradient will be asked for.

    Returns:
        For each cell <float32>[time, batch, units], 0 after a review's end.
    """
    units = cells[0].recurrent.shape[0]
    # cuDNN wants the matrices transposed, direction by direction, the input's before the recurrent ones, then the biases
    # in the same order, of which it adds two. Gates are in Keras's order.
    gates = cells[0].recurrent.shape[1] // units
    matrices = [part for cell in cells for matrix in (cell.kernel, cell.recurrent) for part in tf.split(matrix, gates, axis=1)]
    biases = [part for cell in cells for part in (cell.bias, tf.zeros_like(cell.bias))]
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
