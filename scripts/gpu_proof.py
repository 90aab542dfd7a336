"""Everything that only a GPU can show, in one command. Prints a table, writes JSON, and ends with 1 where anything failed.

    .venv/bin/python -m scripts.gpu_proof --data imdb.npz --output gpu-proof

It checks the GPU and compares both fast kernels with the CPU's loops, trains twice with one seed and once interrupted and
continued (predictions must be equal to the byte), uses the models on the CPU, and measures training on the whole of
--data. With `--device cpu` it takes the same steps without a GPU, which shows that the script works and nothing more.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SMALL = ("--preset", "quickstart", "--epochs", "3", "--log-format", "json")


class Proof:
    """The steps, and what came of them.

    Args:
        device: `gpu` or `cpu`.
    """

    def __init__(self, device: str, output: Path) -> None:
        self._device, self._output = device, output
        self.results: list[dict[str, Any]] = []

    def step(self, name: str, run: Callable[[], Any]) -> None:
        """Takes one step; what it raises or returns is on record, and the next ones are taken all the same."""
        began = time.monotonic()
        try:
            found, passed = run(), True
        except (AssertionError, KeyError, ValueError, OSError, subprocess.SubprocessError) as error:
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
        """The GPU works, and a process that may not see it is told so."""
        found = json.loads(self.job("check", "--json", *(("--require-gpu",) if self._device == "gpu" else ())))
        self.job("check", "--require-gpu", code=69, env={"CUDA_VISIBLE_DEVICES": "-1"})
        return {key: found[key] for key in ("works", "names", "driver", "largest_difference", "slow_kernels") if key in found}

    def parity(self) -> Any:
        """Both architectures on cuDNN, forward and backward, with reviews of different lengths, against the CPU's loops."""
        done = subprocess.run([sys.executable, "-m", "job.probe"], capture_output=True, text=True, cwd=ROOT)
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

    def use(self) -> Any:
        """What was trained there is used without a GPU: the scores are the ones that the GPU found, but for rounding."""
        found = json.loads(
            self.job("evaluate", self._output / "one", "--data", "embedded", "--json", env={"CUDA_VISIBLE_DEVICES": "-1"})
        )
        metrics = json.loads((self._output / "one" / "metrics.json").read_text())
        gaps = {}
        for name, entry in metrics["architectures"].items():
            loss = entry["runs"][0]["test"]["loss"]
            gaps[name] = abs(found["models"][name]["all"]["scores"]["loss"] - loss)
            assert gaps[name] < 1e-4, f"{name}: the loss differs by {gaps[name]}"
        return gaps

    def measure(self, data: str) -> Any:
        """The preset `standard`, an epoch of both networks: real tokens a second, seconds, accuracy."""
        folder = self._output / "standard"
        self.job("train", "--device", self._device, "--data", data, "--epochs", "1", "--output", folder)
        metrics = json.loads((folder / "metrics.json").read_text())
        keys = ("tokens_per_second", "seconds", "kernel")
        runs = {name: entry["runs"][0] for name, entry in metrics["architectures"].items()}
        return {name: {key: run[key] for key in keys} | {"accuracy": run["test"]["accuracy"]} for name, run in runs.items()}

    def benchmark(self, data: str) -> Any:
        """Against stock Keras on the same device, taking turns."""
        folder = self._output / "benchmark"
        command = [sys.executable, "-m", "scripts.benchmark", "--data", data, "--repetitions", "3", "--output", str(folder)]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        return json.loads((folder / "benchmark.json").read_text())


def main() -> None:
    """Takes all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--data", help="as of train; without it, training on real reviews is not measured")
    parser.add_argument("--output", type=Path, default=Path("gpu-proof"))
    arguments = parser.parse_args()
    shutil.rmtree(arguments.output, ignore_errors=True)
    arguments.output.mkdir(parents=True)
    output = arguments.output.resolve()
    proof = Proof(arguments.device, output)
    for name in ("check", "parity", "repeat", "interrupt", "use"):
        proof.step(name, getattr(proof, name))
    if arguments.data:
        data = str(Path(arguments.data).resolve()) if Path(arguments.data).exists() else arguments.data
        proof.step("measure", lambda: proof.measure(data))
        proof.step("benchmark", lambda: proof.benchmark(data))
    (output / "proof.json").write_text(json.dumps(proof.results, indent=2) + "\n")
    failed = [result["step"] for result in proof.results if not result["passed"]]
    print(f"{len(proof.results) - len(failed)} passed, {len(failed)} failed" + (f": {', '.join(failed)}" if failed else ""))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
