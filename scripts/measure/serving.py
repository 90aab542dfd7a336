"""How fast a finished run's models answer: latency of one text, throughput of batches, and of the command `predict`.

    .venv/bin/python -m scripts.measure.serving RUN texts.txt

The texts, one a line, are asked in the order in which they stand. The SavedModel is asked as a server would ask it; of
`predict` the whole process is timed, once with 2,048 texts and once with all, so that its start can be taken off.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from job.presets import ModelName

ROOT = Path(__file__).parents[2]
_BATCH = 64


def main() -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=lambda text: Path(text).resolve())
    parser.add_argument("texts", type=Path)
    arguments = parser.parse_args()
    texts = arguments.texts.read_text("utf-8").rstrip("\n").split("\n")
    found: dict[str, Any] = {"texts": len(texts), "words_a_text": sum(len(text.split()) for text in texts) / len(texts)}
    for name in ModelName:
        if (arguments.run / name / "saved_model").is_dir():
            size = sum(file.stat().st_size for file in (arguments.run / name / "saved_model").rglob("*") if file.is_file())
            asked = saved_model(arguments.run / name / "saved_model", texts) | predict(arguments.run, name, texts)
            found[name] = {"saved_model_mb": size / 1e6} | asked
    print(json.dumps(found, indent=2))


def saved_model(folder: Path, texts: list[str]) -> dict[str, float]:
    """Latency of single texts in milliseconds, and texts a second in batches."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]

    def ask(some: list[str]) -> float:
        began = time.perf_counter()
        serve(text=tf.constant(some))["probability"].numpy()
        return time.perf_counter() - began

    for text in texts[:20]:
        ask([text])
    single = [ask([text]) for text in texts[:200]]
    batches = [texts[first : first + _BATCH] for first in range(0, min(len(texts), 2000), _BATCH)]
    ask(batches[0])
    seconds = sum(ask(batch) for batch in batches)
    return {
        "latency_ms_median": 1e3 * statistics.median(single),
        "latency_ms_95": 1e3 * statistics.quantiles(single, n=20)[-1],
        "saved_model_texts_per_second": sum(map(len, batches)) / seconds,
    }


def predict(run: Path, name: str, texts: list[str]) -> dict[str, float]:
    """Texts a second of the command, without its start, and its start in seconds."""

    def seconds(some: list[str]) -> float:
        command = [sys.executable, "-m", "job", "predict", str(run), "--file", "-", "--architecture", name]
        began = time.perf_counter()
        content = "".join(f"{text}\n" for text in some).encode()
        subprocess.run(command, input=content, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
        return time.perf_counter() - began

    # The same lengths, so that both compile the same loops.
    start, whole = seconds(texts[:2048]), seconds(texts)
    return {
        "predict_texts_per_second": (len(texts) - 2048) / (whole - start),
        "predict_seconds_for_2048": start,
        "predict_seconds_for_all": whole,
    }


if __name__ == "__main__":
    main()
