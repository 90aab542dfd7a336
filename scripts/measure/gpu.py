"""Everything that only a GPU can show, in one command on a machine that has one.

    .venv/bin/python -m scripts.measure.gpu --data imdb.npz

It checks the GPU, also with a library hidden, and compares both fast kernels with the CPU's loops; trains twice with one
seed and once interrupted and continued (predictions must be equal to the byte); serves the exported models on the CPU;
measures against stock Keras and against cuDNN alone; and does the full `standard` run, watching how busy the GPU is.
Where there are several GPUs, all of them train one network together, twice, which must end the same to the byte.
It prints a table, writes gpu-proof/proof.json, and ends with 1 where a step failed. Targets are those of one NVIDIA H100;
a target that was missed is told in the table, and is no failure. With `--device cpu` it takes the same steps without a
GPU, which shows that the program works and nothing more. Any Python will do that has what the job and its tests need.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}
# The command on a machine whose cuDNN cannot be opened.
_WITHOUT_CUDNN = """
import ctypes, sys
real = ctypes.CDLL
def opened(name, *rest, **more):
    if name and "libcudnn.so" in str(name):
        raise OSError(name)
    return real(name, *rest, **more)
ctypes.CDLL = opened
from job.__main__ import main
sys.exit(main())
"""
# A text's probability, by TensorFlow and nothing of ours.
_SERVE = """
import sys
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
print(float(serve(text=tf.constant([sys.argv[2]]))["probability"][0]))
"""
_HOW = {True: "passed", False: "FAILED", None: "skipped"}
SMALL = ("--preset", "quickstart", "--epochs", "3", "--log-format", "json")


class SkippedError(Exception):
    """A step cannot be taken on this machine; says why."""


class Proof:
    """The steps, and what came of them.

    Args:
        device: `gpu` or `cpu`.
    """

    def __init__(self, device: str, output: Path) -> None:
        self._device, self._output, self._cache = device, output, output / "cache"
        self.results: list[dict[str, Any]] = []
        self.targets: list[dict[str, Any]] = []

    def target(self, name: str, measured: float, wanted: float, at_least: bool) -> None:
        """Holds a figure against what was aimed at."""
        reached = measured >= wanted if at_least else measured <= wanted
        sign = "≥" if at_least else "≤"
        self.targets.append({"target": name, "measured": measured, "wanted": f"{sign} {wanted:g}", "reached": reached})

    def step(self, name: str, run: Callable[[], Any]) -> None:
        """Takes one step; what it raises or returns is on record, and the next ones are taken all the same."""
        began, passed = time.monotonic(), True
        try:
            found = run()
        except SkippedError as reason:
            self.results.append({"step": name, "passed": None, "seconds": 0.0, "found": str(reason)})
            print(f"skipped           {name}: {reason}", flush=True)
            return
        except (AssertionError, KeyError, ValueError, OSError, SystemExit, subprocess.SubprocessError) as error:
            found, passed = f"{type(error).__name__}: {error}"[-1500:], False
        seconds = round(time.monotonic() - began, 1)
        self.results.append({"step": name, "passed": passed, "seconds": seconds, "found": found})
        print(f"{'passed' if passed else 'FAILED'} {seconds:7.1f} s  {name}: {json.dumps(found)[:300]}", flush=True)

    def job(self, *arguments: str | Path, code: int = 0, env: dict[str, str] | None = None) -> str:
        """Runs the real command; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "job", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | (env or {}),
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, f"{arguments[0]} ended with {done.returncode}, not {code}: {done.stderr[-1000:]}"
        return done.stdout

    def train(self, name: str, *more: str) -> Path:
        """A small training of both networks on the device."""
        folder = self._output / name
        fast = ("--require-fast-kernel",) if self._device == "gpu" else ()
        self.job("train", "--device", self._device, *fast, *SMALL, "--output", folder, *more)
        return folder

    def check(self) -> Any:
        """The GPU works, a process that may not see it is told so, and one that lacks a library is told which."""
        began = time.monotonic()
        found = json.loads(self.job("check", "--json", *(("--require-gpu",) if self._device == "gpu" else ())))
        self.target("check, seconds", time.monotonic() - began, 15, at_least=False)
        self.job("check", "--require-gpu", code=69, env={"CUDA_VISIBLE_DEVICES": "-1"})
        if self._device == "gpu":
            hidden = subprocess.run(
                [sys.executable, "-c", _WITHOUT_CUDNN, "check"],
                capture_output=True,
                text=True,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
            )
            assert (hidden.returncode, "libcudnn.so.9" in hidden.stderr) == (69, True), hidden.stderr[-500:]
        return {key: found[key] for key in ("works", "names", "driver", "largest_difference", "slow_kernels") if key in found}

    def tests(self) -> Any:
        """The tests marked `gpu`, which are skipped everywhere else."""
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL)
        last = (done.stdout.strip().splitlines() or [done.stderr[-300:]])[-1]
        assert done.returncode == 0, done.stdout[-1200:] + done.stderr[-300:]
        assert self._device == "cpu" or "skipped" not in last, last
        return last

    def parity(self) -> Any:
        """Both architectures on cuDNN, forward and backward, with reviews of different lengths, against the CPU's loops."""
        done = subprocess.run([sys.executable, "-m", "job.network.probe"], capture_output=True, text=True, cwd=ROOT)
        found = json.loads(done.stdout.splitlines()[-1])
        assert self._device == "cpu" or (found["works"] and not found["slow_kernels"]), found
        return found

    def repeat(self) -> Any:
        """Two runs of one seed end with the same predictions, to the byte; which kernels they ran on."""
        one, other = self.train("one"), self.train("two")
        assert (one / "predictions.csv").read_bytes() == (other / "predictions.csv").read_bytes(), "two runs of one seed differ"
        metrics = json.loads((one / "metrics.json").read_text())
        return {name: entry["runs"][0]["kernel"] for name, entry in metrics["architectures"].items()}

    def interrupt(self) -> Any:
        """A run that is ended by SIGTERM after each of its first epochs and continued is the one that was not."""
        folder, times = self._output / "interrupted", 0
        command = [sys.executable, "-m", "job", "train", "--device", self._device, *SMALL, "--output", str(folder)]
        while True:
            with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
                assert process.stderr is not None
                for line in process.stderr:
                    if times < 3 and '"event": "epoch"' in line:
                        process.send_signal(signal.SIGTERM)
                        break
                process.stderr.read()
            if process.returncode != 143:
                break
            times += 1
        assert process.returncode == 0, f"ended with {process.returncode}"
        whole = (self._output / "one" / "predictions.csv").read_bytes()
        assert (folder / "predictions.csv").read_bytes() == whole, "the interrupted run's predictions differ"
        return {"interruptions": times}

    def group(self, data: str) -> Any:
        """Several GPUs sum, train one network to the same bits twice, and what a step then takes; on CPUs two processes."""
        from job.machine import device

        count = device.gpus() if self._device == "gpu" else 2
        if count < 2:
            raise SkippedError("this machine has one GPU, and it takes two to share a training")
        together = json.loads(self.job("check", "--devices", str(count), "--json"))["together"]
        one, other = (self.train(name, "--devices", str(count)) for name in ("together-one", "together-two"))
        written = [(folder / "predictions.csv").read_bytes() for folder in (one, other)]
        assert written[0] == written[1], f"two runs of {count} devices differ"
        accuracies = {
            name: [json.loads((folder / "metrics.json").read_text())["architectures"][name]["summary"]["test_accuracy"]["mean"]
                   for folder in (self._output / "one", one)]
            for name in ("rnn", "lstm")
        }  # fmt: skip
        command = [sys.executable, "-m", "scripts.measure.group", "--processes", f"1,{count}", "--device", self._device]
        command += ["--data", data, "--cache", str(self._cache)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr[-1000:]
        return {"check": together, "alone and together": accuracies, "steps": done.stdout.splitlines()}

    def use(self) -> Any:
        """What was trained there is used without a GPU: the scores are the ones that the GPU found, but for rounding.

        The exported models, too, each served by TensorFlow alone.
        """
        found = json.loads(self.job("evaluate", self._output / "one", "--data", "embedded", "--json", env=_NO_GPU))
        metrics = json.loads((self._output / "one" / "metrics.json").read_text())
        gaps = {}
        for name, entry in metrics["architectures"].items():
            loss = entry["runs"][0]["test"]["loss"]
            gaps[name] = abs(found["models"][name]["all"]["scores"]["loss"] - loss)
            assert gaps[name] < 1e-4, f"{name}: the loss differs by {gaps[name]}"
            text = "Take my words backwards: the old dog. Simply awful."
            answer = self.job("predict", self._output / "one", text, "--architecture", name, "--json", env=_NO_GPU)
            served = subprocess.run(
                [sys.executable, "-c", _SERVE, str(self._output / "one" / name / "saved_model"), text],
                capture_output=True, text=True, env=os.environ | _NO_GPU, stdin=subprocess.DEVNULL, check=True,
            )  # fmt: skip
            gap = abs(float(served.stdout.splitlines()[-1]) - json.loads(answer)["probability"])
            assert gap < 1e-4, f"{name}: the exported model's answer differs by {gap}"
        return gaps

    def standard(self, data: str, seeds: int) -> Any:
        """The preset `standard`, from start to metrics.json: seconds, accuracy, and how busy the GPU is in training."""
        folder, began = self._output / "standard", time.monotonic()
        command = [sys.executable, "-m", "job", "train", "--device", self._device, "--data", data, "--seeds", str(seeds)]
        with subprocess.Popen(
            [*command, "--log-format", "json", "--cache", str(self._cache), "--output", str(folder)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            busy = _Busy()
            last = ""
            for line in process.stderr:
                last = line
                event = json.loads(line).get("event") if line.startswith("{") else None
                # From the first epoch's end to the training's: what compiles is over, what is scored has not begun.
                busy.watch(event == "epoch")
            busy.close()
        assert process.returncode == 0, last[-500:]
        seconds = time.monotonic() - began
        self.target("standard, seconds to metrics.json", seconds, 600, at_least=False)
        share = busy.share()
        if share is not None:
            self.target("GPU busy, share of a training epoch", share, 0.9, at_least=True)
        metrics = json.loads((folder / "metrics.json").read_text())
        found: dict[str, Any] = {"seconds": seconds, "busy": share, "verdict": metrics["comparison"]["verdict"]}
        for name, entry in metrics["architectures"].items():
            speeds = [run["tokens_per_second"] for run in entry["runs"]]
            kernels = sorted({run["kernel"] for run in entry["runs"]})
            found[name] = entry["summary"]["test_accuracy"] | {"tokens_per_second": speeds, "kernels": kernels}
        return found

    def benchmark(self, data: str) -> Any:
        """Against stock Keras on the same device, taking turns, and against cuDNN's recurrence alone."""
        folder = self._output / "benchmark"
        command = [sys.executable, "-m", "scripts.measure.speed", "--data", data, "--cache", str(self._cache)]
        command += ["--repetitions", "3", "--output", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr[-1000:]
        found = json.loads((folder / "benchmark.json").read_text())
        for name, wanted in (("rnn", 10.0), ("lstm", 1.5)):
            keras = found["architectures"][name]["Keras fit, same batches"]["times_slower_than_ours"]
            self.target(f"{name}, times stock Keras", keras, wanted, at_least=True)
        if self._device == "gpu":
            self._against_cudnn(data, found)
        return found

    def _against_cudnn(self, data: str, found: dict[str, Any]) -> None:
        from scripts.measure import speed

        source = self._output / "batches.npz"
        speed.write_batches(data, self._cache, 24, source)
        for name in ("rnn", "lstm"):
            alone = speed.run(Path(sys.executable), "cudnn_alone", source, name, "")
            ours = found["architectures"][name][speed.OURS]["tokens_per_second"]
            found["architectures"][name]["cuDNN alone"] = alone
            self.target(f"{name}, times slower than cuDNN alone", alone["tokens_per_second"] / ours, 2, at_least=False)
        source.unlink()


class _Busy:
    """Samples the first GPU's use while it is told to; NVML says which share of the last moments a kernel ran."""

    def __init__(self) -> None:
        self.samples: list[int] = []
        self._is_watching, self._is_over = False, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def watch(self, is_training: bool) -> None:
        self._is_watching = is_training

    def share(self) -> float | None:
        return sum(self.samples) / len(self.samples) / 100 if self.samples else None

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _sample(self) -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        except Exception:  # no NVML, or no GPU: nothing to sample
            return
        while not self._is_over.wait(0.1):
            if self._is_watching:
                self.samples.append(int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu))


def versions() -> dict[str, Any]:
    """Of what the figures depend on."""
    from job.machine import device, provenance

    facts = device.collect()
    return {"gpus": facts.names, "driver": facts.driver, "driver_cuda": facts.driver_cuda} | provenance.versions()


def print_table(result: dict[str, Any]) -> None:
    """The steps and the targets."""
    from rich.console import Console
    from rich.table import Table

    gpus = ", ".join(result["versions"]["gpus"]) or "no GPU"
    table = Table("step or target", "measured", "wanted", "", title=f"{gpus}, driver {result['versions']['driver']}")
    for each in result["steps"]:
        table.add_row(each["step"], f"{each['seconds']:.1f} s", "–", _HOW[each["passed"]])
    for each in result["targets"]:
        table.add_row(each["target"], f"{each['measured']:.2f}", each["wanted"], "reached" if each["reached"] else "missed")
    Console(width=110).print(table)


def main() -> None:
    """Takes all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--data", default="imdb", help="as in train (default: imdb)")
    parser.add_argument("--seeds", type=int, default=5, help="of the standard run")
    parser.add_argument("--output", type=Path, default=Path("gpu-proof"))
    arguments = parser.parse_args()
    shutil.rmtree(arguments.output, ignore_errors=True)
    arguments.output.mkdir(parents=True)
    output = arguments.output.resolve()
    proof = Proof(arguments.device, output)
    for name in ("check", "parity", "tests", "repeat", "interrupt", "use"):
        proof.step(name, getattr(proof, name))
    data = str(Path(arguments.data).resolve()) if Path(arguments.data).exists() else arguments.data
    # First, so that its time is that of a machine that has nothing encoded yet.
    proof.step("standard", lambda: proof.standard(data, arguments.seeds))
    proof.step("benchmark", lambda: proof.benchmark(data))
    proof.step("group", lambda: proof.group(data))
    result = {"versions": versions(), "steps": proof.results, "targets": proof.targets}
    (output / "proof.json").write_text(json.dumps(result, indent=2) + "\n")
    print_table(result)
    failed, skipped = ([each["step"] for each in proof.results if each["passed"] is which] for which in (False, None))
    said = [f"{len(proof.results) - len(failed) - len(skipped)} passed"]
    said += [f"{len(names)} {how}: {', '.join(names)}" for names, how in ((failed, "failed"), (skipped, "skipped")) if names]
    print("; ".join(said))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
