"""What only a GPU shows: cuDNN against our loops on the CPU at real sizes, and the same bits twice. scripts.measure.gpu runs it, too."""

from typing import Any

import numpy as np
import pytest

from job.presets import PRESETS, Architecture, Hyperparameters, PresetName
from job.records.base import Kernel

tf = pytest.importorskip("tensorflow")

from job.machine import device, runtime
from job.network import probe
from job.network.build import build as build_network
from job.network.forward import Forward, Inputs
from job.network.kernel import FAST_ACTIVATIONS
from job.training import loop, optimizer

device.preload_libraries()
# As the job does, before the first operation.
runtime.prepare_tensorflow()

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="TensorFlow finds no GPU here"),
]
DRAW = np.array([0, 8], np.int32)
# Of the largest entry; float32 sums of 400 steps in another order differ by less.
_ROUNDING = 1e-4


def batch(values: Hyperparameters) -> tuple[Inputs, Any]:
    """64 reviews of 1 to 400 tokens, the longest and the shortest among them, and their labels."""
    random = np.random.default_rng(0)
    lengths = [*random.integers(1, 400, 62), 1, 400]
    tokens = np.zeros((64, 400), np.int32)
    for row, length in zip(tokens, lengths, strict=True):
        row[:length] = [1, *random.integers(4, min(30_000, values.vocabulary_size), length - 1)]
    numbers = random.normal(0, 1, (*tokens.shape, values.evidence)) * (tokens != 0)[:, :, None]
    linear = random.normal(0, 2, 64).astype(np.float32)
    read = Inputs(tf.constant(tokens), tf.constant(numbers, tf.float16), tf.constant(linear))
    return read, (np.arange(64) % 2).astype(np.float32)


def build(architecture: Architecture, preset: PresetName, place: str) -> Any:
    values = PRESETS[preset].networks[architecture]
    with tf.device(place):
        return build_network(architecture, values, 0)


@pytest.mark.parametrize(
    ("architecture", "activation"), [(name, each) for name, known in FAST_ACTIVATIONS.items() for each in known]
)
def test_a_recurrence_and_its_gradients_are_the_cpu_s(architecture: Architecture, activation: str) -> None:
    results = [probe.recurrence(architecture, activation, "cudnn"), probe.recurrence(architecture, activation, "xla")]
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("preset", [PresetName.standard, PresetName.dependency])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_a_network_and_its_gradients_are_the_cpu_s(architecture: Architecture, preset: PresetName) -> None:
    values = PRESETS[preset].networks[architecture]
    given, labels = batch(values)
    results = []
    places: list[tuple[Kernel, str]] = [("cudnn", "/GPU:0"), ("xla", "/CPU:0")]
    for kernel, place in places:
        network = build(architecture, preset, place)
        with tf.device(place):
            with tf.GradientTape() as tape:
                logits = Forward(network, values, kernel).logits(given, tf.constant(DRAW))
                losses = [tf.nn.sigmoid_cross_entropy_with_logits(labels, each) for each in logits]
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, network.trainable_variables)
            results.append(
                [logits.whole.numpy(), logits.alone.numpy(), *(tf.convert_to_tensor(each).numpy() for each in gradients)]
            )
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=_ROUNDING * np.abs(theirs).max())


@pytest.mark.parametrize("architecture", list(Architecture))
def test_the_same_steps_leave_the_same_bits(architecture: Architecture) -> None:
    values = PRESETS[PresetName.standard].networks[architecture]
    ends = []
    for _ in range(2):
        network = build(architecture, PresetName.standard, "/GPU:0")
        step = tf.function(loop.make_step(Forward(network, values, "cudnn"), optimizer.optimizer(values, 8)))
        for _ in range(3):
            step(*batch(values), DRAW)
        ends.append(network.get_weights())
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)
