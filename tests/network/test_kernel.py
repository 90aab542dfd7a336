"""Which kernel runs which network, and what is said where it is the slow one."""

import pytest

from job.network.kernel import choose, slow_networks
from job.presets import PRESETS, Architecture, PresetName
from job.records.metrics import DeviceRecord

CPU = DeviceRecord(
    type="cpu", name="a processor", cores=2, compute_capability=None, memory_bytes=None, driver=None, cuda=None, cudnn=None,
    tf32=False, slow_kernels={},
)  # fmt: skip
GPU = CPU.but(type="gpu")
RNN, LSTM = Architecture
SEED, STANDARD, REFUSED = PRESETS[PresetName.seed].networks, PRESETS[PresetName.standard].networks, {"rnn": "cuDNN refuses it"}
ONLY = "the fast ones know only tanh and tokens"


def test_the_kernel_is_named_by_device_and_architecture() -> None:
    assert choose(GPU, LSTM, STANDARD[LSTM]) == "cudnn"
    assert choose(GPU, LSTM, SEED[LSTM]) == "while_loop"
    assert choose(GPU, RNN, STANDARD[RNN]) == "cudnn"
    assert choose(GPU.but(slow_kernels=REFUSED), RNN, STANDARD[RNN]) == "while_loop"
    assert choose(CPU, LSTM, STANDARD[LSTM]) == "xla"
    assert choose(CPU, RNN, STANDARD[RNN]) == "xla"
    assert choose(CPU, RNN, SEED[RNN]) == "while_loop"


@pytest.mark.parametrize(
    ("device", "preset", "expected"),
    [
        (CPU, PresetName.standard, {}),
        (GPU, PresetName.standard, {}),
        (GPU.but(slow_kernels=REFUSED), PresetName.standard, {RNN: "cuDNN refuses it"}),
        (GPU.but(slow_kernels=REFUSED), PresetName.seed, {RNN: "cuDNN refuses it", LSTM: ONLY}),
        (CPU, PresetName.seed, {RNN: ONLY, LSTM: ONLY}),
    ],
)
def test_a_slow_kernel_is_explained(device: DeviceRecord, preset: PresetName, expected: dict[Architecture, str]) -> None:
    assert slow_networks(device, PRESETS[preset].networks) == expected
