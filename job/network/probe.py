"""Whether the GPU computes what the CPU does, tried in a process of its own: `python -m job.network.probe` prints a `Probe` as JSON.

A GPU that is listed can still fail at its first kernel, and then it often ends the process.
"""

import json
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from job.machine import device, runtime
from job.machine.device import Probe
from job.network import cudnn, loops
from job.network.kernel import FAST_ACTIVATIONS
from job.presets import Architecture
from job.records.base import Kernel

# More is no rounding, of sums of this size in float32.
_TOLERANCE = 1e-4
_UNITS, _FEATURES, _LENGTHS = 8, 6, (7, 3, 1, 7)


def main() -> None:
    """Tries a matrix product and an LSTM of Keras's, then each architecture's fast kernel."""
    print(json.dumps(_result().to_values()))


def _result() -> Probe:
    if not tf.config.list_physical_devices("GPU"):
        return Probe(works=False, error="TensorFlow lists no GPU although one is present")
    difference = _difference(*(_keras_results(name) for name in ("/CPU:0", "/GPU:0")))
    if not difference < _TOLERANCE:
        return Probe(
            works=False, error=f"its results differ from the CPU's by {difference:.3g}; at most {_TOLERANCE} is rounding"
        )
    problems = {str(architecture): _problem(architecture) for architecture in Architecture}
    slow = {name: problem for name, problem in problems.items() if problem is not None}
    built = device.build()
    return Probe(works=True, largest_difference=difference, slow_kernels=slow, cuda=built.cuda, cudnn=built.cudnn)


def _difference(ours: list[Any], theirs: list[Any]) -> float:
    return max(float(np.max(np.abs(np.subtract(a, b)))) for a, b in zip(ours, theirs, strict=True))


def _keras_results(device: str) -> list[Any]:
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((256, 256)).astype(np.float32) for _ in range(2))
    x = random.standard_normal((4, 7, 8)).astype(np.float32)
    with tf.device(device):
        keras.utils.set_random_seed(0)
        layer = keras.layers.LSTM(_UNITS)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 2)
        gradients = tape.gradient(loss, layer.trainable_variables)
        return [value.numpy() for value in (tf.matmul(a, b) / 16.0, loss, *gradients)]


def _problem(architecture: Architecture) -> str | None:
    """Why the fast kernel cannot be used; None where it computes, forward and backward, what our loops do on the CPU."""
    try:
        difference = max(
            _difference(recurrence(architecture, activation, "cudnn"), recurrence(architecture, activation, "xla"))
            for activation in FAST_ACTIVATIONS[architecture]
        )
    except (tf.errors.OpError, ValueError) as error:
        return f"cuDNN refuses it ({' '.join(str(error).split())[:200]})"
    return None if difference < _TOLERANCE else f"cuDNN's results differ from the CPU's by {difference:.3g}"


def recurrence(architecture: Architecture, activation: str, kernel: Kernel) -> list[Any]:
    """Both directions over reviews of different lengths: the states, and the gradients of a sum over them.

    Args:
        kernel: `cudnn`, which needs a GPU, or `xla`, which runs on the CPU.

    Returns:
        <float32>[time, batch, units] for each direction, then the gradients of the input and of all weights.
    """
    random = np.random.default_rng(1)
    gates = _UNITS * (4 if architecture is Architecture.lstm else 1)
    time, batch = max(_LENGTHS), len(_LENGTHS)

    def draw(*shape: int) -> tf.Variable:
        return tf.Variable(random.normal(0, 0.5, shape).astype(np.float32))

    with tf.device("/GPU:0" if kernel == "cudnn" else "/CPU:0"):
        inputs, towards = draw(time, batch, _FEATURES), [draw(time, batch, _UNITS) for _ in range(2)]
        cells = [cudnn.Cell(draw(_FEATURES, gates), draw(_UNITS, gates), draw(gates)) for _ in range(2)]
        lengths = tf.constant(_LENGTHS, tf.int32)
        mask = tf.cast(tf.range(time)[:, None] < lengths[None], tf.float32)[:, :, None]
        with tf.GradientTape() as tape:
            if kernel == "cudnn":
                states = cudnn.recur(architecture, activation, inputs, cells, lengths, training=True)
            else:
                kind, steps = loops.Kind(architecture, activation, pooled=False), loops.Steps(mask, tf.constant(time))
                projected = [tf.einsum("tbf,fg->tbg", inputs, cell.kernel) + cell.bias for cell in cells]
                states = [
                    loops.recur(kind, projection, cell.recurrent, steps, backward)[0]
                    for projection, cell, backward in zip(projected, cells, (False, True), strict=True)
                ]
            loss = tf.add_n([tf.reduce_sum(state * weight * mask) for state, weight in zip(states, towards, strict=True)])
        weights = [weight for cell in cells for weight in cell]
        return [value.numpy() for value in (*states, *tape.gradient(loss, [inputs, *weights]))]


if __name__ == "__main__":
    device.preload_libraries()
    runtime.prepare_tensorflow()
    main()
