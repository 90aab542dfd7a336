"""What is tried on a GPU, and the calls of cuDNN, with a stand-in for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.presets import Architecture
from job.records.base import Kernel
from tests.conftest import ROOT

tf = pytest.importorskip("tensorflow")

from job.machine import runtime
from job.network import cudnn, probe
from job.network.forward import Forward
from tests.network import plain_cudnn, test_forward

# As the job does, before the first operation.
runtime.prepare_tensorflow()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", plain_cudnn.recurrence)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("architecture", "activation"), [(Architecture.rnn, "tanh"), (Architecture.rnn, "relu"), (Architecture.lstm, "tanh")]
)
def test_cudnn_gets_its_weights_as_documented_and_computes_what_our_loops_do(
    architecture: Architecture, activation: str
) -> None:
    results = [probe.recurrence(architecture, activation, "cudnn"), probe.recurrence(architecture, activation, "xla")]
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert probe._problem(architecture) is None


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("changes", [{}, {"bidirectional": False, "pooling": "last"}])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_a_network_on_cudnn_is_the_one_on_our_loops(architecture: Architecture, changes: dict[str, Any]) -> None:
    values = test_forward.tiny(architecture, **changes)
    network = test_forward.build(architecture, values)
    given = test_forward.inputs(test_forward.batch(values))
    results = []
    kernels: list[Kernel] = ["xla", "cudnn"]
    for kernel in kernels:
        with tf.GradientTape() as tape:
            logits = Forward(network, values, kernel).logits(given, tf.constant(test_forward.DRAW))
            loss = tf.reduce_sum((logits.whole + 0.5 * logits.alone) * [1.0, 2.0, 3.0])
        gradients = tape.gradient(loss, network.trainable_variables)
        results.append(
            [logits.whole.numpy(), logits.alone.numpy(), *(tf.convert_to_tensor(each).numpy() for each in gradients)]
        )
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", list(Architecture))
def test_the_real_operation_takes_what_it_is_given_and_has_a_gradient(architecture: Architecture) -> None:
    """Traced, shapes checked and differentiated by TensorFlow; run it does on a GPU only."""

    def differentiate(inputs: Any, kernel: Any, recurrent: Any, bias: Any, lengths: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel, recurrent, bias])
            states = cudnn.recur(
                architecture, "tanh", inputs, [cudnn.Cell(kernel, recurrent, bias)] * 2, lengths, training=True
            )
            loss = tf.reduce_sum(states[0] - states[1])
        return tape.gradient(loss, [inputs, kernel, recurrent, bias])

    gates = 3 * (4 if architecture is Architecture.lstm else 1)
    shapes = [(None, None, 5), (5, gates), (3, gates), (gates,)]
    traced = tf.function(differentiate, autograph=False).get_concrete_function(
        *(tf.TensorSpec(shape, tf.float32) for shape in shapes), tf.TensorSpec([None], tf.int32)
    )
    names = [each.type for each in traced.graph.get_operations()]
    assert names.count("CudnnRNNV3") == names.count("CudnnRNNBackpropV3") == 1


def test_a_kernel_that_computes_something_else_or_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(**values: Any) -> Any:
        result = plain_cudnn.recurrence(**values)
        result.output *= 1.01
        return result

    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", wrong)
    assert str(probe._problem(Architecture.lstm)).startswith("cuDNN's results differ from the CPU's by 0.0")
    monkeypatch.undo()
    # Here is no GPU, so the real one is refused.
    assert str(probe._problem(Architecture.rnn)).startswith("cuDNN refuses it")


def test_the_probe_is_a_process_that_prints_one_object(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "job.network.probe"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2", "HOME": str(tmp_path)},
        timeout=120,
    )
    assert json.loads(done.stdout) == {"works": False, "error": "TensorFlow lists no GPU although one is present"}
