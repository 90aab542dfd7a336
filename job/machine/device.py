"""What the job runs on, and whether it works. Facts are collected first, then judged, so that the judgement can be tested."""

import ctypes
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from job.config import DeviceChoice
from job.errors import DeviceError
from job.machine import runtime
from job.records.base import Record
from job.records.metrics import DeviceRecord

log = logging.getLogger(__name__)

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
_NCCL = "libnccl.so.2"
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


class Probe(Record):
    """What job/network/probe.py tells of a GPU. What it did not get to is not set."""

    works: bool
    error: str | None = None
    """Why it does not work."""
    largest_difference: float | None = None
    """Between its results and the CPU's."""
    slow_kernels: dict[str, str] = Field(default_factory=dict)
    """By architecture, why its fast kernel cannot be used."""
    cuda: str | None = None
    """What TensorFlow was built for, as is the next."""
    cudnn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Build:
    """What TensorFlow was built for."""

    cuda: str | None
    cudnn: str | None
    compute_capabilities: list[str]


@dataclass(frozen=True, kw_only=True)
class Check:
    """Everything that `sentiment-job check` tells."""

    facts: Facts
    problem: str | None
    """Why the GPU does not work, or why there is none; None where one works."""
    probe: Probe | None
    """None where nothing was tried."""
    tensorflow: str
    built_for: Build

    @property
    def works(self) -> bool | None:
        """Whether the GPU works; None where no GPU is present."""
        if not self.facts.present:
            return None
        return self.probe is not None and self.probe.works

    def to_values(self) -> dict[str, Any]:
        """As JSON values."""
        told_twice = {"cuda", "cudnn"}
        tried = {name: value for name, value in self.probe.to_values().items() if name not in told_twice} if self.probe else {}
        told = {"works": self.works} | asdict(self.facts) | {"problem": self.problem} | tried
        return told | {"tensorflow": self.tensorflow, "built_for": asdict(self.built_for)}


def preload_libraries(names: Sequence[str] = LIBRARIES) -> list[str]:
    """Opens CUDA's libraries that the wheels installed, and returns the names of those that cannot be opened.

    TensorFlow's wheels find no cuSOLVER by themselves and then train on the CPU without an error; a library that is
    already open is found by its name.
    """
    folders = sorted({path for entry in sys.path for path in Path(entry or ".").glob("nvidia/*/lib")})
    missing = []
    for name in names:
        candidates = [str(folder / name) for folder in folders if os.path.exists(folder / name)] + [name]
        for candidate in candidates:
            try:
                ctypes.CDLL(candidate, mode=ctypes.RTLD_GLOBAL)
                break
            except OSError:
                continue
        else:
            missing.append(name)
    return missing


def gpus() -> int:
    """How many GPUs this process may use; 0 where there is none."""
    facts = collect()
    if not facts.present:
        return 0
    # The driver tells of all of them, whatever the process is to see.
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return len(facts.names) if chosen is None else min(len(facts.names), len(chosen.split(",")))


def count(wanted: int, is_cpu: bool = False) -> int:
    """How many of this machine's devices are meant.

    Args:
        wanted: So many, 0 for all of them.
        is_cpu: Whether GPUs are left alone; then, and where there are none, processes on the cores count as devices.

    Raises:
        DeviceError: There are not so many.
    """
    there = 0 if is_cpu else gpus()
    if 0 < there < wanted:
        raise DeviceError(f"--devices {wanted}: this machine has {there} GPUs; expected at most so many, or all")
    return wanted or max(1, there)


def require_nccl() -> None:
    """Raises `DeviceError` where the library is missing by which GPUs sum."""
    if _NCCL in preload_libraries((_NCCL,)):
        raise DeviceError(
            f"{_NCCL} is missing, by which several GPUs train one network; install the GPU lock (scripts/locks/gpu.txt), or use the image multi-gpu (scripts/build-image.sh multi-gpu)"
        )


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


def probe() -> Probe:
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
        return Probe(works=False, error=f"the first kernels took more than {_PROBE_SECONDS} s")
    try:
        return Probe.parse(done.stdout.splitlines()[-1].encode())
    except (IndexError, ValueError):
        last = " ".join((done.stderr.strip().splitlines() or ["no message"])[-1].split())[:300]
        return Probe(works=False, error=f"the process that tried it ended with {done.returncode}: {last}")


def select(choice: DeviceChoice, require_fast_kernel: bool, starts: bool = True) -> DeviceRecord:
    """Decides where to compute.

    Args:
        starts: Whether to set TensorFlow up for it, in this process.

    Raises:
        DeviceError: A GPU was required, or is present, and does not work.
    """
    facts, tried = Facts(present=False), Probe(works=False)
    if choice is not DeviceChoice.cpu:
        facts = collect()
        problem = diagnose(facts)
        if facts.present and problem is None:
            tried = probe()
            problem = None if tried.works else f"the GPU does not work: {tried.error}"
        if problem and (facts.present or choice is DeviceChoice.gpu):
            raise DeviceError(f"{problem}; --device cpu would train on the CPU")
        if problem and require_fast_kernel:
            raise DeviceError(f"--require-fast-kernel: {problem}")
        if problem:
            log.warning(f"training on the CPU: {problem}")
    on_gpu = facts.present
    if not on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if starts:
        runtime.start_tensorflow()
    return DeviceRecord(
        type="gpu" if on_gpu else "cpu",
        name=facts.names[0] if on_gpu else processor(),
        cores=runtime.cores(),
        compute_capability=facts.compute_capabilities[0] if on_gpu else None,
        memory_bytes=facts.memory_bytes[0] if on_gpu else None,
        driver=facts.driver if on_gpu else None,
        cuda=tried.cuda,
        cudnn=tried.cudnn,
        tf32=False,
        slow_kernels=tried.slow_kernels,
    )


def check() -> Check:
    """Collects, judges and, where nothing speaks against it, tries."""
    facts = collect()
    problem = diagnose(facts)
    tried = probe() if facts.present and problem is None else None
    runtime.start_tensorflow()
    import tensorflow as tf

    return Check(
        facts=facts,
        problem=problem or (tried.error if tried else None),
        probe=tried,
        tensorflow=tf.__version__,
        built_for=build(),
    )


def build() -> Build:
    """What this TensorFlow was built for."""
    import tensorflow as tf

    told = tf.sysconfig.get_build_info()
    return Build(
        cuda=told.get("cuda_version"),
        cudnn=told.get("cudnn_version"),
        compute_capabilities=told.get("cuda_compute_capabilities", []),
    )


def processor() -> str:
    """Its name, as people know it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
