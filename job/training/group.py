"""One training by several processes: each computes its share of every batch, and all take the same step.

Each reads the whole batch, which costs it nothing but its own cache, draws the whole batch's dropout, looks up the words
of the whole batch, and from there on goes its own way with the reviews that are its share. So the gradient of the
embedding has the same few rows everywhere, and they are summed like any other array. TensorFlow's strategy sums:
over NCCL on GPUs, over gRPC in a ring elsewhere.
"""

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.machine import runtime, signals
from job.machine.noise import without_noise
from job.network.forward import Share
from job.peers import Peers
from job.presets import PAD

Gradients = list[Any]
"""Tensors, or slices whose rows are the same in all processes."""


class Group:
    """What the processes of a group compute together. Made before TensorFlow computes anything."""

    def __init__(self, peers: Peers) -> None:
        self.index, self.count = peers.index, len(peers.hosts)
        runtime.import_tensorflow()
        here = peers.on_this_machine
        runtime.prepare_tensorflow(max(1, runtime.cores() // len(here)), here.index(peers.index))
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(peers.hosts)}), task_type="worker", task_id=peers.index, rpc_layer="grpc"
        )
        with without_noise():
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        runtime.run_first_kernel()
        # TensorFlow would hear of a coming preemption by SIGTERM, and keep that to itself.
        signals.take_back()
        # Variables of this process: where all take the same steps, they are the same everywhere.
        self._wish, self._stopped = (tf.Variable(0.0, trainable=False) for _ in range(2))
        self._steps, self._numbers = (tf.Variable(0, dtype=tf.int64, trainable=False) for _ in range(2))

    def share(self, tokens: tf.Tensor) -> Share:
        """The reviews of a batch <int32>[batch, length] that are this process's: as many tokens as the others', nearly.

        The longest are dealt out first, forth and back, so that every process has as many reviews as another, or one less.
        """
        order = tf.argsort(tf.math.count_nonzero(tokens != PAD, axis=1), direction="DESCENDING", stable=True)
        places = tf.range(tf.size(order))
        turn, place = places // self.count, places % self.count
        owner = tf.where(turn % 2 == 0, place, self.count - 1 - place)
        return Share(tf.sort(tf.boolean_mask(order, owner == self.index)), tf.shape(tokens)[0], self.count)

    def sum(self, compute: Callable[[], tuple[list[tf.Tensor], Gradients]]) -> tuple[list[tf.Tensor], Gradients]:
        """What all processes compute, summed; to be traced in a step. Also carries that one of them was told to end."""

        def together() -> tuple[list[tf.Tensor], Gradients]:
            numbers, gradients = compute()
            arrays = [each.values if isinstance(each, tf.IndexedSlices) else each for each in gradients]
            self._steps.assign_add(1)
            self._numbers.assign_add(tf.add_n([tf.size(each, tf.int64) for each in arrays]))
            summed = self._all_reduced([*numbers, tf.identity(self._wish), *arrays])
            first = len(numbers) + 1
            self._stopped.assign(summed[len(numbers)])
            return summed[: len(numbers)], [
                tf.IndexedSlices(array, each.indices, each.dense_shape) if isinstance(each, tf.IndexedSlices) else array
                for each, array in zip(gradients, summed[first:], strict=True)
            ]

        found: tuple[list[tf.Tensor], Gradients] = self._strategy.run(together)
        return found

    def _all_reduced(self, arrays: list[tf.Tensor]) -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        found: list[tf.Tensor] = context.all_reduce(tf.distribute.ReduceOp.SUM, [tf.identity(each) for each in arrays])
        return found

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)], autograph=False)
    def _summed(self, array: tf.Tensor) -> tf.Tensor:
        return self._strategy.run(lambda: self._all_reduced([array])[0])

    def total(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sum of the processes' arrays <float32>[n], which are as long everywhere."""
        found: NDArray[np.float32] = self._summed(array).numpy()
        return found

    def bytes_a_step(self) -> float:
        """What a step sums, the mean over all steps so far."""
        return 4.0 * int(self._numbers.numpy()) / max(1, int(self._steps.numpy()))

    def check_signals(self) -> None:
        """After a step: raises `Interrupted` where any process was told to end, in all of them after the same step."""
        if signals.is_pending():
            self._wish.assign(1.0)
        if float(self._stopped.numpy()):
            signals.raise_pending()
            raise signals.Interrupted(signal.SIGTERM)
