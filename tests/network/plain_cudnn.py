"""cuDNN's recurrence in plain TensorFlow, from its flat parameters: a stand-in where there is no GPU.

It reads the parameters as NVIDIA documents them (cudnnGetRNNWeightParams): for each direction the input's matrices, then
the recurrent ones, each transposed; then all biases, two for each gate. What a real GPU does is tried by job/network/probe.py.
"""

from types import SimpleNamespace
from typing import Any

import tensorflow as tf


def recurrence(*, input: Any, input_h: Any, input_c: Any, params: Any, sequence_lengths: Any, rnn_mode: str, direction: str,
               is_training: bool, time_major: bool) -> Any:  # fmt: skip
    """See `tf.raw_ops.CudnnRNNV3`."""
    assert time_major
    gates = {"lstm": 4, "rnn_tanh": 1, "rnn_relu": 1}[rnn_mode]
    time, features = input.shape[0], input.shape[2]
    count, _, units = input_h.shape
    assert count == {"bidirectional": 2, "unidirectional": 1}[direction]
    assert input_c.shape == (input_h.shape if rnn_mode == "lstm" else (0,))
    assert params.shape == (count * gates * units * (features + units + 2),)
    place = 0

    def take(*shape: int) -> Any:
        nonlocal place
        place += tf.TensorShape(shape).num_elements()
        return tf.reshape(params[place - tf.TensorShape(shape).num_elements() : place], shape)

    matrices = [
        ([take(units, features) for _ in range(gates)], [take(units, units) for _ in range(gates)]) for _ in range(count)
    ]
    biases = [[[take(units) for _ in range(gates)] for _ in range(2)] for _ in range(count)]
    outputs = []
    for backward in range(count):
        (w, r), (b, d) = matrices[backward], biases[backward]
        h, c = input_h[backward], tf.zeros_like(input_h[backward])
        states: list[Any] = [None] * time
        for step in range(time)[:: -1 if backward else 1]:
            inside = tf.cast(step < sequence_lengths, tf.float32)[:, None]
            z = [input[step] @ tf.transpose(w[g]) + h @ tf.transpose(r[g]) + b[g] + d[g] for g in range(gates)]
            if rnn_mode == "lstm":
                c = (tf.sigmoid(z[1]) * c + tf.sigmoid(z[0]) * tf.tanh(z[2])) * inside
                h = tf.sigmoid(z[3]) * tf.tanh(c) * inside
            else:
                h = (tf.tanh if rnn_mode == "rnn_tanh" else tf.nn.relu)(z[0]) * inside
            states[step] = h
        outputs.append(tf.stack(states))
    return SimpleNamespace(output=tf.concat(outputs, axis=2))
