"""The image, built and run by a real engine. Skipped where there is none; CI installs one (.ci/start-engine)."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, rows, table

BASE, IMAGE, GPU_IMAGE = "sentiment-job-base:local", "sentiment-job:test", "sentiment-job:gpu"
SMALL = ("train", "--preset", "quickstart", "--architecture", "rnn", "--epochs", "2", "--units", "8", "--batch-size", "512")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _client() -> str | None:
    # Debian's client builds with BuildKit by itself; a newer one earlier on the path may want a plugin.
    for candidate in (os.environ.get("DOCKER"), "/usr/bin/docker", shutil.which("docker")):
        if candidate and shutil.which(candidate):
            done = subprocess.run([candidate, "version", "--format", "{{.Server.Version}}"], capture_output=True)
            if done.returncode == 0:
                return candidate
    return None


DOCKER = _client() or ""
pytestmark = pytest.mark.skipif(not DOCKER, reason="no Docker Engine is running here (as root, .ci/start-engine starts one)")


def docker(*arguments: str | Path, timeout: int = 300, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([DOCKER, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **more)


def build(target: str, name: str, *options: str) -> None:
    environment = os.environ | {"DOCKER": DOCKER, "BASE": BASE}
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        environment["CA_BUNDLE"] = str(bundle)
    done = subprocess.run(
        [ROOT / "scripts" / "build-image.sh", target, name, "--network", "host", *options],
        env=environment, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def cpu_image() -> str:
    if docker("image", "inspect", BASE).returncode:
        if os.getuid() or not shutil.which("debootstrap"):
            pytest.skip(f"no image {BASE}, and none can be made without root and debootstrap")
        environment = os.environ | {"DOCKER": DOCKER}
        subprocess.run(
            [ROOT / "scripts" / "bootstrap-base.sh", BASE], env=environment, check=True, capture_output=True, timeout=600
        )
    build("cpu", IMAGE)
    return IMAGE


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def image(request: pytest.FixtureRequest) -> str:
    """Both images; the one for GPUs, of 5 GB, only where it has been built (scripts/build-image.sh gpu)."""
    if request.param == "cpu":
        return str(request.getfixturevalue("cpu_image"))
    if docker("image", "inspect", GPU_IMAGE).returncode:
        pytest.skip(f"no {GPU_IMAGE} was built here")
    return GPU_IMAGE


@pytest.fixture
def volume(tmp_path: Path) -> Callable[[int], Path]:
    def make(owner: int) -> Path:
        folder = tmp_path / f"volume-{owner}"
        folder.mkdir()
        os.chown(folder, owner, owner)
        return folder

    # Below a path that others may enter.
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o711)
    return make


@pytest.fixture(scope="module")
def run(image: str) -> Run:
    def call(options: tuple[str, ...], *arguments: str, timeout: int = 300) -> "subprocess.CompletedProcess[str]":
        return docker("run", "--rm", "--network", "none", *options, image, *arguments, timeout=timeout)

    return call


@pytest.fixture(scope="module")
def expected(run: Run, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What every small run predicts."""
    folder = tmp_path_factory.mktemp("expected")
    folder.chmod(0o777)
    done = run(("-v", f"{folder}:/output"), *SMALL)
    assert done.returncode == 0, done.stderr
    return (folder / "predictions.csv").read_bytes()


CELLS = {
    "default": (10001, ()),
    "all that clusters ask for": (
        4242,
        ("--read-only", "--user", "4242:4242", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "2g",
         "--memory-swap", "2g", "--pids-limit", "200"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("owner", "options"), CELLS.values(), ids=CELLS)
def test_it_trains(owner: int, options: tuple[str, ...], run: Run, volume: Callable[[int], Path], expected: bytes) -> None:
    folder = volume(owner)
    done = run(("-v", f"{folder}:/output", *options), *SMALL)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "training on the CPU: no GPU and no NVIDIA driver were found; in a container pass --gpus all" in done.stderr
    assert (folder / "predictions.csv").read_bytes() == expected
    assert {path.stat().st_uid for path in folder.rglob("*")} == {owner}
    assert sorted(path.name for path in folder.iterdir()) == [
        "baseline",
        "ensemble",
        "examples.json",
        "metrics.json",
        "predictions.csv",
        "report.html",
        "rnn",
        "run.json",
        "tensorboard",
        "training_hashes.npy",
        "validation_predictions.csv",
        "vocabulary.json",
    ]
    done = run(("-v", f"{folder}:/output:ro", *options), "validate", "/output")
    assert done.returncode == 0, done.stderr


def test_a_job_of_sagemaker_finds_its_folders(image: str, volume: Callable[[int], Path]) -> None:
    """As far as it can be had without the platform: its folders, its variables, its argument."""
    if image != IMAGE:
        pytest.skip("the same in both images")
    from tests.test_platforms import SAGEMAKER, sagemaker

    root = volume(os.getuid())
    folder = sagemaker(root, {"preset": "quickstart", "architecture": '["rnn"]', "epochs": "1", "units": "4"})
    (folder / "input/data/train/reviews.csv").write_bytes(table(rows(200)))
    variables = [word for name, value in SAGEMAKER.items() for word in ("--env", f"{name}={value}")]
    options = (
        "--rm",
        "--network",
        "none",
        "--user",
        f"{os.getuid()}:{os.getgid()}",
        "--volume",
        f"{folder}:/opt/ml",
        *variables,
    )
    done = docker("run", *options, image, "train")
    assert done.returncode == 0, done.stderr
    assert (folder / "model/1/saved_model.pb").exists()
    assert json.loads((folder / "output/data/metrics.json").read_text())["data"]["name"] == "reviews.csv"
    assert not (folder / "output/failure").exists()
    (folder / "input/config/hyperparameters.json").write_text('{"epochs": "none"}')
    assert docker("run", *options, image, "train").returncode == 2
    assert "Input should be a valid integer" in (folder / "output/failure").read_text()
    (folder / "input/config/hyperparameters.json").write_text('{"epoch": "3"}')
    assert docker("run", *options, image, "train").returncode == 78
    assert (folder / "output/failure").read_text() == "hyperparameters.json: there is no option epoch; did you mean epochs?"


def test_it_uses_no_more_cores_than_the_container_s_limit(run: Run) -> None:
    script = "from job.machine import runtime; print(runtime.cores())"
    assert run(("--cpus", "0.5", "--entrypoint", "python"), "-c", script).stdout == "1\n"


def test_the_cache_is_used_where_it_may_be(run: Run, volume: Callable[[int], Path]) -> None:
    output, cache = volume(10001), volume(10002)
    os.chown(cache, 10001, 10001)
    mounts = ("-v", f"{output}:/output", "-v", f"{cache}:/cache", "--read-only")
    done = run(mounts, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "cache" not in done.stderr
    assert len(list((cache / "encoded").iterdir())) == 1
    assert list((cache / "unfinished").iterdir()) == []


def test_an_unwritable_volume_is_73_and_tells_the_flag_and_the_chown(run: Run, volume: Callable[[int], Path]) -> None:
    done = run(("-v", f"{volume(4242)}:/output"), *SMALL)
    assert done.returncode == 73
    (line,) = done.stderr.splitlines()
    assert "run as its owner (in a container: --user 4242:4242), or `chown -R 10001:10001 /output`" in line
    done = run(("-v", f"{volume(0)}:/output"), *SMALL)
    assert (done.returncode, "`chown -R 10001:10001 /output`" in done.stderr) == (73, True)
    done = run(("--read-only",), *SMALL)
    assert (done.returncode, "read-only; mount it writable" in done.stderr) == (73, True), done.stderr


def test_an_output_that_is_lost_with_the_container_is_warned_of(run: Run, volume: Callable[[int], Path]) -> None:
    done = run((), *SMALL, "--dry-run")
    assert json.loads(done.stdout)["output"] == "/output"
    done = run((), "train", "--data", "/no/such.csv", "--output", "/output")
    assert "/output is inside the container and is lost with it" in done.stderr
    done = run(("-v", f"{volume(10001)}:/output"), "train", "--data", "/no/such.csv")
    assert done.returncode == 66
    assert "lost with it" not in done.stderr


def test_docker_stop_saves_progress_and_the_next_run_continues(image: str, run: Run, volume: Callable[[int], Path]) -> None:
    long = (*SMALL[:-6], "--epochs", "12", *SMALL[-4:])
    folder, reference = volume(10001), volume(10002)
    os.chown(reference, 10001, 10001)
    started = docker("run", "--detach", "--network", "none", "-v", f"{folder}:/output", image, *long)
    name = started.stdout.strip()
    try:
        deadline = time.monotonic() + 180
        while "epoch 2/12" not in docker("logs", name).stderr:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        began = time.monotonic()
        docker("stop", "--time", "30", name)
        assert time.monotonic() - began < 10
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip() == "143"
    finally:
        docker("rm", "--force", name)
    assert not (folder / "metrics.json").exists()
    done = run(("-v", f"{folder}:/output"), *long)
    assert done.returncode == 0, done.stderr
    assert "continued at epoch" in done.stderr
    assert run(("-v", f"{reference}:/output"), *long).returncode == 0
    assert (folder / "predictions.csv").read_bytes() == (reference / "predictions.csv").read_bytes()


def test_a_gpu_that_is_required_and_not_given_is_69(run: Run, volume: Callable[[int], Path]) -> None:
    began = time.monotonic()
    done = run(("-v", f"{volume(10001)}:/output"), *SMALL, "--device", "gpu")
    assert done.returncode == 69
    assert "pass --gpus all" in done.stderr
    assert time.monotonic() - began < 30


def test_what_an_operator_reads_off_the_image(image: str) -> None:
    (facts,) = json.loads(docker("image", "inspect", image).stdout)
    settings = facts["Config"]
    assert settings["User"] == "10001:10001"
    assert settings["Entrypoint"] == ["/opt/venv/bin/python", "-m", "job"]
    assert settings["Cmd"] == ["train"]
    labels = settings["Labels"]
    revision = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    if image == IMAGE:
        assert labels["org.opencontainers.image.revision"].removesuffix("-dirty") == (revision or "unknown")
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert {"org.opencontainers.image.version", "org.opencontainers.image.source"} <= set(labels)
    assert not [each for each in settings["Env"] if each.startswith("NVIDIA_VISIBLE_DEVICES")]


def test_nothing_to_build_or_test_with_ships(run: Run) -> None:
    script = (
        "import importlib.util, shutil;"
        "print([name for name in ('gcc', 'cc', 'g++', 'make', 'git', 'pytest', 'ruff') if shutil.which(name)],"
        "[name for name in ('pip', 'pytest', 'hypothesis', 'wheel', 'mypy') if importlib.util.find_spec(name)])"
    )
    assert run(("--entrypoint", "python"), "-c", script).stdout == "[] []\n"


def test_the_bill_of_materials_lists_what_the_lock_names(run: Run, image: str) -> None:
    bill = json.loads(run(("--entrypoint", "cat"), "/opt/sbom.cdx.json").stdout)
    listed = {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"] for each in bill["components"]}
    lock = (ROOT / "scripts" / "locks" / ("gpu.txt" if image == GPU_IMAGE else "cpu.txt")).read_text()
    assert listed["tensorflow" if image == GPU_IMAGE else "tensorflow-cpu"] == "2.21.0"
    assert len(listed) > 40
    for name, version in listed.items():
        assert f"{name}=={version}" in lock
    assert bill["bomFormat"] == "CycloneDX"


def test_the_image_s_command_is_there_by_name_too(run: Run) -> None:
    assert "check" in run(("--entrypoint", "sentiment-job"), "--help").stdout


def contents(image: str) -> Iterator[tuple[str, int, str]]:
    """Path, mode and content's hash of every file in an image."""
    name = docker("create", image).stdout.strip()
    try:
        # Read as it comes: it is larger than what a test should hold in memory.
        with (
            subprocess.Popen([DOCKER, "export", name], stdout=subprocess.PIPE) as export,
            tarfile.open(fileobj=export.stdout, mode="r|") as archive,
        ):
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                content = hashlib.file_digest(stream, "sha256").hexdigest() if stream else member.linkname  # type: ignore[arg-type]
                yield member.name, member.mode, content
            assert export.stdout is not None
            export.stdout.read()
        assert export.returncode == 0
    finally:
        docker("rm", name)


def test_two_builds_of_one_source_hold_the_same_files(cpu_image: str) -> None:
    build("cpu", "sentiment-job:again", "--no-cache")
    first, again = dict.fromkeys(contents(cpu_image)), dict.fromkeys(contents("sentiment-job:again"))
    docker("image", "rm", "sentiment-job:again")
    assert len(first) > 5000
    assert sorted({path for path, _, _ in first.keys() ^ again.keys()}) == []


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "docker" / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(
    not DOCKER or bool(docker("image", "inspect", GPU_IMAGE).returncode), reason=f"no {GPU_IMAGE} was built here"
)
class TestGpuImage:
    """What can be known of it without a GPU: that TensorFlow finds every library up to the driver's."""

    # TensorFlow's own check, which it makes only once there is a driver: absl::Status, of which 1 is "OK".
    CHECK = (
        "import ctypes, os, tensorflow as tf;"
        "library = ctypes.CDLL(os.path.join(os.path.dirname(tf.__file__), 'libtensorflow_framework.so.2'));"
        "check = library._ZN3tsl8internal9DsoLoader26MaybeTryDlopenGPULibrariesEv;"
        "status = (ctypes.c_uint64 * 4)(); check.restype = None; check(ctypes.byref(status)); print('all' if status[0] == 1 else 'not all')"
    )

    def found(self, before: str = "") -> str:
        done = docker("run", "--rm", "--network", "none", "--entrypoint", "python", GPU_IMAGE, "-c", before + self.CHECK)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def test_tensorflow_finds_every_library(self) -> None:
        before = (
            "from job.machine import device; missing = device.preload_libraries(); assert missing == ['libcuda.so.1'], missing;"
        )
        assert self.found(before) == "all"

    def test_the_mend_of_cusolver_is_still_needed(self) -> None:
        """When this fails, TensorFlow finds cuSOLVER by itself, and device.preload_libraries can go."""
        assert self.found() == "not all"
