"""The recurrences on a GPU: cuDNN's, both directions in one call, with the weights of the stock Keras layers."""

import tensorflow as tf

from job.presets import Architecture

Cell = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""A direction's weights: kernel <float32>[features, gates], recurrent kernel <float32>[units, gates], bias <float32>[gates]."""


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
