"""cuDNN's recurrence and nothing else, forward and backward, at the shapes of given batches: what its latency allows.

Called by scripts.measure.gpu; needs a GPU.
"""

import sys

from job.machine import device, runtime
from job.presets import Architecture
from scripts.measure.contestants.measure import Batches, measure

_FEATURES, _UNITS = 128, 100


def main() -> None:
    """Measures, and prints what was found."""
    source, name = sys.argv[1:3]
    device.preload_libraries()
    runtime.prepare_tensorflow()
    import tensorflow as tf

    from job.network import cudnn

    architecture = Architecture(name)
    gates = _UNITS * (4 if architecture is Architecture.lstm else 1)
    cells = [
        cudnn.Cell(*(tf.random.stateless_normal(shape, [1, number], stddev=0.1) for shape in ((_FEATURES, gates), (_UNITS, gates), (gates,))))
        for number in range(2)
    ]  # fmt: skip
    data = Batches(source)
    batches = []
    for tokens, _ in data:
        lengths = tf.constant((tokens != 0).sum(1), tf.int32)
        batches.append((tf.random.stateless_normal([tokens.shape[1], tokens.shape[0], _FEATURES], [2, 3]), lengths))

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, _FEATURES]), tf.TensorSpec([None], tf.int32)], autograph=False
    )  # fmt: skip
    def step(inputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch([inputs, cells])
            states = cudnn.recur(architecture, "tanh", inputs, cells, lengths, training=True)
            total = tf.add_n([tf.reduce_sum(each) for each in states])
        gradients = tf.nest.flatten(tape.gradient(total, [inputs, cells]))
        # All of them must be computed; the sums cost nothing beside them.
        return tf.add_n([tf.reduce_sum(each) for each in gradients])

    measure(lambda number: float(step(*batches[number])), len(batches), data.tokens, kernel="cudnn")


if __name__ == "__main__":
    main()
