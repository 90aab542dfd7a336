"""What the job runs on, and whether it works. Facts are collected first, then judged, so that the judgement can be tested."""

import ctypes
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from job.config import DeviceChoice
from job.errors import DeviceError
from job.machine.noise import without_noise
from job.presets import FAST_ACTIVATIONS, Architecture, Hyperparameters

# What TensorFlow 2.21 opens by these names; the driver's own libcuda comes first.
LIBRARIES = (
    "libcuda.so.1",
    "libcudart.so.12",
    "libcublas.so.12",
    "libcublasLt.so.12",
    "libcufft.so.11",
    "libcusolver.so.11",
    "libcusparse.so.12",
    "libcudnn.so.9",
)
_OLDEST_DRIVER = 525
_PROBE_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What can be learned of this machine's GPUs without TensorFlow."""

    present: bool
    """Whether a GPU is there for this process."""
    hidden: bool = False
    """Whether CUDA_VISIBLE_DEVICES hides every GPU."""
    driver: str | None = None
    driver_cuda: str | None = None
    """The newest CUDA that the driver serves."""
    names: list[str] = field(default_factory=list)
    compute_capabilities: list[str] = field(default_factory=list)
    memory_bytes: list[int] = field(default_factory=list)
    missing_libraries: list[str] = field(default_factory=list)


def preload_libraries() -> list[str]:
    """Opens the CUDA libraries that the wheels installed, and returns the names of those that cannot be opened.

    TensorFlow's wheels find no cuSOLVER by themselves and then train on the CPU without an error; a library that is
    already open is found by its name.
    """
    folders = sorted({path for entry in sys.path for path in Path(entry or ".").glob("nvidia/*/lib")})
    missing = []
    for name in LIBRARIES:
        candidates = [str(folder / name) for folder in folders if (folder / name).exists()] + [name]
        for candidate in candidates:
            try:
                ctypes.CDLL(candidate, mode=ctypes.RTLD_GLOBAL)
                break
            except OSError:
                continue
        else:
            missing.append(name)
    return missing


def collect() -> Facts:
    """Asks the driver (NVML) and the file system."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "none")
    facts: dict[str, Any] = {"present": any(Path("/dev").glob("nvidia[0-9]*")) and not hidden, "hidden": hidden}
    version = Path("/proc/driver/nvidia/version")
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            cuda = pynvml.nvmlSystemGetCudaDriverVersion()
            facts |= {
                "present": bool(handles) and not hidden,
                "driver": str(pynvml.nvmlSystemGetDriverVersion()),
                "driver_cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
                "names": [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles],
                "compute_capabilities": [
                    ".".join(map(str, pynvml.nvmlDeviceGetCudaComputeCapability(handle))) for handle in handles
                ],
                "memory_bytes": [int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) for handle in handles],
            }
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # NVML's errors have no common type across its versions, and without NVML the rest still tells enough.
        if version.exists():
            words = version.read_text(errors="replace").split()
            facts["driver"] = next((word for word in words if word[:1].isdigit() and "." in word), None)
    if facts["present"]:
        facts["missing_libraries"] = preload_libraries()
    return Facts(**facts)


def diagnose(facts: Facts) -> str | None:
    """Why a GPU cannot work, before it is tried; None where nothing speaks against it."""
    if facts.hidden:
        return "CUDA_VISIBLE_DEVICES hides every GPU; unset it"
    if not facts.present:
        if facts.driver:
            return f"the NVIDIA driver {facts.driver} is there, but no GPU is given to this process; in a container pass --gpus all"
        return "no GPU and no NVIDIA driver were found; in a container pass --gpus all, else install a driver"
    if "libcuda.so.1" in facts.missing_libraries:
        return "a GPU is present, but the driver's libcuda.so.1 is missing; install the NVIDIA driver, in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility"
    if facts.driver and facts.driver.split(".")[0].isdigit() and int(facts.driver.split(".")[0]) < _OLDEST_DRIVER:
        return f"the NVIDIA driver {facts.driver} is too old; {_OLDEST_DRIVER} or newer is needed for CUDA 12"
    if facts.missing_libraries:
        return f"a GPU is present, but these libraries are missing: {', '.join(facts.missing_libraries)}; install the GPU lock (scripts/locks/gpu.txt)"
    for name, capability in zip(facts.names, facts.compute_capabilities, strict=False):
        if int(capability.split(".")[0]) >= 10:
            return (
                f"{name} (compute capability {capability}) is newer than TensorFlow 2.21 supports (up to 9.x); use an older GPU"
            )
        if int(capability.split(".")[0]) < 6:
            return (
                f"{name} (compute capability {capability}) is older than TensorFlow 2.21 supports (from 6.0); use a newer GPU"
            )
    return None


def probe() -> dict[str, Any]:
    """Runs job/network/probe.py: whether the GPU's results are the CPU's, and which architectures have a fast kernel on it."""
    command = [sys.executable, "-m", "job.network.probe"]
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_SECONDS, env=environment, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return {"works": False, "error": f"the first kernels took more than {_PROBE_SECONDS} s"}
    try:
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = " ".join((done.stderr.strip().splitlines() or ["no message"])[-1].split())[:300]
        return {"works": False, "error": f"the process that tried it ended with {done.returncode}: {last}"}
    return result


def _import_tensorflow() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with without_noise():
        import tensorflow as tf

        # The first transposed mask makes oneDNN complain, once a process: here, and not amid the progress.
        prepare_tensorflow()
        with tf.device("/CPU:0"):
            tf.function(lambda mask: tf.transpose(mask))(tf.zeros([2, 3], tf.bool))


def prepare_tensorflow() -> None:
    """Settings that must stand before the first kernel: memory on demand, float32 that is float32, repeatable results."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    # By itself TensorFlow starts a thread for each of the machine's cores, however few of them a container may use.
    tf.config.threading.set_intra_op_parallelism_threads(cores())
    tf.config.threading.set_inter_op_parallelism_threads(cores())
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.experimental.enable_op_determinism()
    # Every network has functions of its own, which TensorFlow takes for one that is traced too often.
    tf.get_logger().setLevel("ERROR")


def cores() -> int:
    """How many cores this process may use: those it is bound to, and no more than its container's limit, rounded up."""
    import joblib

    return int(joblib.cpu_count())


def select(choice: DeviceChoice, require_fast_kernel: bool) -> dict[str, Any]:
    """Decides where to compute, and sets TensorFlow up for it.

    Returns:
        The `device` entry of metrics.json.

    Raises:
        DeviceError: A GPU was required, or is present, and does not work.
    """
    facts, slow = Facts(present=False) if choice is DeviceChoice.cpu else collect(), {}
    if choice is not DeviceChoice.cpu:
        problem = diagnose(facts)
        if facts.present and problem is None:
            result = probe()
            problem = None if result["works"] else f"the GPU does not work: {result['error']}"
            slow = result.get("slow_kernels", {})
        if problem and (facts.present or choice is DeviceChoice.gpu):
            raise DeviceError(f"{problem}; --device cpu would train on the CPU")
        if problem and require_fast_kernel:
            raise DeviceError(f"--require-fast-kernel: {problem}")
        if problem:
            print(f"warning: training on the CPU: {problem}", file=sys.stderr)
    on_gpu = facts.present
    if not on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _import_tensorflow()
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    return {
        "type": "gpu" if on_gpu else "cpu",
        "name": facts.names[0] if on_gpu else _processor(),
        "cores": cores(),
        "compute_capability": facts.compute_capabilities[0] if on_gpu else None,
        "memory_bytes": facts.memory_bytes[0] if on_gpu else None,
        "driver": facts.driver if on_gpu else None,
        "cuda": build.get("cuda_version") if on_gpu else None,
        "cudnn": build.get("cudnn_version") if on_gpu else None,
        "tf32": False,
        "slow_kernels": slow,
    }


def kernel(device: dict[str, Any], architecture: Architecture, values: Hyperparameters) -> str:
    """What runs the recurrence: `cudnn`, our own loops compiled by `xla`, or `while_loop`, Keras's loop over time steps."""
    if (
        values.activation not in FAST_ACTIVATIONS[architecture]
        or not values.embedding_size
        or architecture in device["slow_kernels"]
    ):
        return "while_loop"
    return "cudnn" if device["type"] == "gpu" else "xla"


def check() -> dict[str, Any]:
    """Everything that `sentiment-job check` tells, as JSON values. `works` is null where no GPU is present."""
    facts = collect()
    problem = diagnose(facts)
    result: dict[str, Any] = {"works": None} | asdict(facts) | {"problem": problem}
    if facts.present:
        result |= {"works": False} if problem else probe()
        result["problem"] = problem or result.get("error")
    _import_tensorflow()
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    result["tensorflow"] = tf.__version__
    result["built_for"] = {
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "compute_capabilities": build.get("cuda_compute_capabilities", []),
    }
    return result


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
