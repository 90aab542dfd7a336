"""TensorFlow, imported and set up for the cores that there are."""

import os
import sys

from job.machine.noise import without_noise

THREADS = 1
"""That compute one kernel."""


def import_tensorflow() -> None:
    """Imports TensorFlow without its noise, and without using it: a process that has done no more can still be forked."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Keras imports these where they are, a second at every start, for what this job does not use.
    hidden = [name for name in ("matplotlib", "sklearn") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None marks a module as absent
    with without_noise():
        try:
            import tensorflow  # noqa: F401 (for who comes after)
        finally:
            for name in hidden:
                del sys.modules[name]


def start_tensorflow(share: int | None = None, place: int | None = None) -> None:
    """Imports TensorFlow and sets it up; the arguments as in `prepare_tensorflow`."""
    import_tensorflow()
    with without_noise():
        prepare_tensorflow(share, place)
    run_first_kernel()


def run_first_kernel() -> None:
    """The first transposed mask makes oneDNN complain, once a process: here, and not amid the progress."""
    import tensorflow as tf

    with without_noise(), tf.device("/CPU:0"):
        tf.function(lambda mask: tf.transpose(mask))(tf.zeros([2, 3], tf.bool))


def prepare_tensorflow(share: int | None = None, place: int | None = None) -> None:
    """Settings that must stand before the first kernel: memory on demand, float32 that is float32, repeatable results.

    Args:
        share: The cores that this process is to use; by default those that it may use.
        place: Of this process among those of this machine, to which its GPUs are dealt out; by default it sees all of them.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus and place is not None:
        tf.config.set_visible_devices(gpus[place % len(gpus)], "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    # How many threads share a kernel's sum may decide its last bits: one does, whatever the machine. Kernels that do not wait
    # for each other, as those of the two directions, run beside each other on as many cores as there are for this process.
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(share or cores())
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.experimental.enable_op_determinism()
    # Every network has functions of its own, which TensorFlow takes for one that is traced too often.
    tf.get_logger().setLevel("ERROR")


def cores() -> int:
    """How many cores this process may use: those it is bound to, and no more than its container's limit, rounded up."""
    import joblib

    return int(joblib.cpu_count())
