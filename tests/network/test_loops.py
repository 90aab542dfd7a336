"""What XLA makes of our loops, and pooling on tiny arrays."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from job.presets import Architecture
from tests.conftest import ROOT

tf = pytest.importorskip("tensorflow")

from job.machine import runtime
from job.network import loops

# As the job does, before the first operation.
runtime.prepare_tensorflow()

STEP = """
from dataclasses import replace
from job.machine import runtime
runtime.prepare_tensorflow()
import numpy as np, tensorflow as tf
from job.network.build import build
from job.network.forward import Forward, Inputs
from job.training import loop, optimizer
from job import presets
for architecture, values in presets.PRESETS[presets.PresetName.standard].networks.items():
    values = replace(values, vocabulary_size=1000, embedding_size=16)
    network = build(architecture, values, 0)
    forward = Forward(network, values, "xla")
    step = tf.function(loop.make_step(forward, optimizer.optimizer(values, 8)))
    numbers, ones = np.ones((64, 200, values.evidence), np.float16), np.ones(64, np.float32)
    batch = Inputs(tf.constant(np.full((64, 200), 5, np.int32)), tf.constant(numbers), tf.constant(ones)), ones, np.array([0, 8], np.int32)
    step(*batch)
    called = [each.get_attr("f").name for each in step.get_concrete_function(*batch).graph.get_operations() if "PartitionedCall" in each.type]
    print(len(called))
"""


def test_what_is_compiled_is_the_loops_and_holds_nothing_of_ynnpack(tmp_path: Path) -> None:
    """What TensorFlow 2.21 prepares when such a program first runs is not safe from a second thread; see job/network/loops.py."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"}
    done = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, text=True, timeout=300)
    # Each direction's loop, forward and backward.
    assert done.stdout.split() == ["4"] * 2, done.stderr
    programs = sorted(tmp_path.glob("*after_optimizations.txt"))
    assert [len([each for each in programs if kind in each.name]) for kind in ("rnn", "lstm")] == [2, 2]
    assert len(programs) == 4
    for program in programs:
        assert "ynn" not in program.read_text()


def test_a_review_s_highest_and_mean_states_leave_its_padding_out() -> None:
    # Two directions, three steps, two reviews, one unit; the second review is one token long.
    states = [np.array([[[0.5], [-0.4]], [[-0.1], [0.0]], [[0.2], [0.0]]], np.float32)]
    states.append(-states[0])
    mask = np.array([[[1], [1]], [[1], [0]], [[1], [0]]], np.float32)
    expected = [[0.5, 0.1, 0.2, -0.2], [-0.4, 0.4, -0.4, 0.4]]
    pooled = loops.pool([tf.constant(each) for each in states], tf.constant(mask))
    np.testing.assert_allclose(pooled, expected, atol=1e-7)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_pooling_in_the_loop_is_pooling_after_it(architecture: Architecture, backward: bool) -> None:
    """Highest states that are equal (here all of the second review's) share their gradient, as TensorFlow's do."""
    random = np.random.default_rng(0)
    gates = 3 * (4 if architecture is Architecture.lstm else 1)
    projected = random.normal(0, 1, (5, 3, gates)).astype(np.float32)
    kernel = random.normal(0, 1, (3, gates)).astype(np.float32)
    lengths = np.array([4, 4, 1])
    mask = (np.arange(5)[:, None] < lengths)[:, :, None].astype(np.float32)
    if architecture is Architecture.rnn:
        kernel[:], projected[:, 1] = 0.0, 0.5
    towards = random.normal(0, 1, (3, 6)).astype(np.float32)
    results = []
    for is_in_loop in (True, False):
        inputs, weights = tf.Variable(projected), tf.Variable(kernel)
        with tf.GradientTape() as tape:
            kind, steps = loops.Kind(architecture, "tanh", is_in_loop), loops.Steps(tf.constant(mask), tf.constant(4))
            read = loops.recur(kind, tf.identity(inputs), tf.identity(weights), steps, backward)
            if is_in_loop:
                highest, total = read
                pooled = tf.concat([highest, *loops.means([total], tf.constant(mask))], axis=1)
            else:
                pooled = loops.pool(list(read), tf.constant(mask))
            loss = tf.reduce_sum(pooled * towards)
        results.append([pooled.numpy(), *(each.numpy() for each in tape.gradient(loss, [inputs, weights]))])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert np.abs(theirs).max() > 0
