"""The optimizers: Keras's, Adam by one fused operation a variable."""

from typing import Any

import keras
import tensorflow as tf

from job.presets import Hyperparameters


def _summed(gradient: Any) -> Any:
    """A gradient in which no row occurs twice."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, each variable updated by one operation of TensorFlow's instead of a dozen."""

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        # Rows are measured and scaled as rows, not as the whole table that they are of.
        grads = [_summed(gradient) for gradient in grads]
        if self.global_clipnorm:
            grads, _ = tf.clip_by_global_norm(grads, self.global_clipnorm)
        return grads

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        step = tf.cast(self.iterations.value, tf.float32) + 1.0
        place = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )


def optimizer(values: Hyperparameters, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer, its schedule laid out over `steps`, the most that training can take."""
    rate: Any = values.learning_rate
    if values.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(values.learning_rate, steps)
    cls = {"adam": FusedAdam, "rmsprop": keras.optimizers.RMSprop}[values.optimizer]
    return cls(learning_rate=rate, global_clipnorm=values.clip_norm or None)
