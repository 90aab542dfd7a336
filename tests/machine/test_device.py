"""The judgement on a GPU, on facts that no machine here has."""

import json
import subprocess
import sys
from typing import Any

import pytest

from job.config import DeviceChoice
from job.errors import DeviceError
from job.machine import device, runtime
from job.machine.device import Facts, Probe
from tests.conftest import ROOT

H100: dict[str, Any] = {
    "present": True,
    "driver": "560.35",
    "names": ["H100"],
    "compute_capabilities": ["9.0"],
    "memory_bytes": [80 << 30],
}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (Facts(**H100), None),
        (Facts(present=False), "no GPU and no NVIDIA driver were found"),
        (Facts(present=False, driver="560.35"), "no GPU is given to this process"),
        (Facts(present=False, hidden=True), "CUDA_VISIBLE_DEVICES hides"),
        (Facts(**H100 | {"driver": "470.82"}), "the NVIDIA driver 470.82 is too old; 525 or newer"),
        (Facts(**H100 | {"missing_libraries": ["libcuda.so.1", "libcudnn.so.9"]}), "the driver's libcuda.so.1 is missing"),
        (Facts(**H100 | {"missing_libraries": ["libcusolver.so.11"]}), "these libraries are missing: libcusolver.so.11"),
        (Facts(**H100 | {"names": ["B200"], "compute_capabilities": ["10.0"]}), r"B200 \(compute capability 10.0\) is newer"),
        (Facts(**H100 | {"names": ["K80"], "compute_capabilities": ["3.7"]}), r"K80 \(compute capability 3.7\) is older"),
    ],
)
def test_every_cause_is_told_apart(facts: Facts, message: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = device.diagnose(facts)
    if message is None:
        assert problem is None
        return
    monkeypatch.setattr(device, "collect", lambda: facts)
    with pytest.raises(DeviceError, match=message):
        device.select(DeviceChoice.gpu, False)
    if facts.present:
        with pytest.raises(DeviceError, match=message):
            device.select(DeviceChoice.auto, False)


def test_a_gpu_that_fails_at_its_first_kernel_is_69_and_never_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "collect", lambda: Facts(**H100))

    def abort(*_: Any, **__: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], -6, stdout="", stderr="F0000 Check failed: CUDA_ERROR_INVALID_PTX\n")

    monkeypatch.setattr(subprocess, "run", abort)
    for choice in (DeviceChoice.auto, DeviceChoice.gpu):
        with pytest.raises(DeviceError, match="ended with -6: F0000 Check failed: CUDA_ERROR_INVALID_PTX; --device cpu"):
            device.select(choice, False)


def test_wrong_results_are_a_gpu_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.dumps({"works": False, "error": "its results differ from the CPU's by 0.5"})
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=answer + "\n", stderr=""))
    assert device.probe() == Probe(works=False, error="its results differ from the CPU's by 0.5")


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_library(name: str, mode: int) -> None:
        if name.endswith("libcusolver.so.11"):
            raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", open_library)
    assert device.preload_libraries() == ["libcusolver.so.11"]


def test_a_kernel_is_computed_by_one_thread_and_others_beside_it_on_each_core_that_may_be_used() -> None:
    script = (
        "from job.machine import device, runtime; runtime.cores = lambda: 3; device.select(device.DeviceChoice.cpu, False);"
        "import tensorflow as tf;"
        "print(tf.config.threading.get_intra_op_parallelism_threads(), tf.config.threading.get_inter_op_parallelism_threads())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "1 3\n", done.stderr


@pytest.mark.parametrize(
    ("facts", "answer", "expected"),
    [
        (Facts(present=False), None, {"works": None, "problem": "no GPU and no NVIDIA driver were found; in a container pass --gpus all, else install a driver"}),
        (Facts(**H100), {"works": True, "largest_difference": 2e-7, "slow_kernels": {"rnn": "cuDNN refuses it"}}, {"works": True, "problem": None, "largest_difference": 2e-7, "slow_kernels": {"rnn": "cuDNN refuses it"}}),
        (Facts(**H100), {"works": False, "error": "no"}, {"works": False, "problem": "no", "error": "no"}),
        (Facts(**H100 | {"driver": "470.82"}), None, {"works": False, "problem": "the NVIDIA driver 470.82 is too old; 525 or newer is needed for CUDA 12"}),
    ],
)  # fmt: skip
def test_check_tells_the_facts_then_what_was_tried_then_what_tensorflow_is_for(
    facts: Facts, answer: dict[str, Any] | None, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setattr(device, "collect", lambda: facts)
    done = subprocess.CompletedProcess([], 0, stdout=json.dumps(answer) + "\n", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    told = device.check().to_values()
    assert list(told) == [
        "works", "present", "hidden", "driver", "driver_cuda", "names", "compute_capabilities", "memory_bytes",
        "missing_libraries", "problem", *(key for key in expected if key not in ("works", "problem")), "tensorflow", "built_for",
    ]  # fmt: skip
    assert told | expected == told
    assert list(told["built_for"]) == ["cuda", "cudnn", "compute_capabilities"]
    assert json.loads(json.dumps(told)) == told


def test_a_run_that_falls_back_to_the_cpu_says_so_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(runtime, "start_tensorflow", lambda: None)
    monkeypatch.setattr(device, "collect", lambda: Facts(present=False, hidden=True))
    chosen = device.select(DeviceChoice.auto, False)
    assert (chosen.type, chosen.cuda, chosen.cudnn, chosen.slow_kernels) == ("cpu", None, None, {})
    assert [(each.levelname, each.message) for each in caplog.records] == [
        ("WARNING", "training on the CPU: CUDA_VISIBLE_DEVICES hides every GPU; unset it")
    ]
    caplog.clear()
    device.select(DeviceChoice.cpu, False)
    assert not caplog.records


@pytest.mark.parametrize(
    ("visible", "present", "expected"),
    [(None, True, 3), ("0", True, 1), ("1,2", True, 2), ("0,1,2,3", True, 3), (None, False, 0)],
)
def test_gpus_are_counted_that_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, present: bool, expected: int
) -> None:
    monkeypatch.setattr(device, "collect", lambda: device.Facts(present=present, names=["an H100"] * 3))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.gpus() == expected


def test_gpus_that_train_one_network_need_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "preload_libraries", lambda names: [*names])
    with pytest.raises(DeviceError, match=r"libnccl\.so\.2 is missing, by which several GPUs train one network; .* multi-gpu"):
        device.require_nccl()
    monkeypatch.setattr(device, "preload_libraries", lambda names: [])
    device.require_nccl()


@pytest.mark.parametrize(("wanted", "found"), [(0, 3), (1, 1), (3, 3)])
def test_devices_are_a_number_or_all(wanted: int, found: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpus", lambda: 3)
    assert device.count(wanted) == found
    assert device.count(4, is_cpu=True) == 4
    assert device.count(0, is_cpu=True) == 1
    with pytest.raises(DeviceError, match="--devices 4: this machine has 3 GPUs; expected at most so many, or all"):
        device.count(4)
