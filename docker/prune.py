"""Takes out of an image's packages what the job never loads, compiles the rest to bytecode, and says what it took.

Run by the virtual environment's own interpreter. NCCL=1 keeps what several GPUs need. What is cut here is proven not to
be needed by the image tests, which train, evaluate and check in the finished image.
"""

import compileall
import os
import py_compile
import shutil
import site
import sys
from pathlib import Path

PACKAGES = Path(site.getsitepackages()[0])

# Pattern below site-packages, why it can go.
CUT = [
    ("tensorflow/include", "headers, for building operations of one's own"),
    ("tensorflow/xla_aot_runtime_src", "sources, for compiling ahead of time"),
    ("clang", "the C parser of TensorFlow Lite's converters"),
    ("libclang-*.dist-info", "the same"),
    ("nvidia/*/include", "headers of the CUDA libraries"),
    ("nvidia/*/lib/*.a", "static CUDA libraries"),
    ("nvidia/cuda_cupti", "CUDA's profiler"),
    ("nvidia_cuda_cupti*.dist-info", "the same"),
    ("nvidia/curand", "random numbers: TensorFlow has its own"),
    ("nvidia_curand*.dist-info", "the same"),
    ("nvidia/cusolver/lib/libcusolverMg.so*", "linear algebra on several GPUs"),
    ("nvidia/cuda_nvrtc/lib/libnvrtc.alt.so*", "a second compiler beside the first"),
    ("pyarrow/include", "headers"),
    ("pyarrow/tests", "tests"),
    ("pyarrow/libarrow_flight.so*", "Arrow over a network"),
    ("pyarrow/_flight*", "the same"),
    ("numpy/_core/include", "headers"),
    ("scipy/**/tests", "tests"),
    ("sklearn/**/tests", "tests"),
    ("numpy/**/tests", "tests"),
    ("h5py/tests", "tests"),
    ("joblib/test", "tests"),
    ("matplotlib/tests", "tests"),
    ("matplotlib/mpl-data/sample_data", "data for examples"),
    ("matplotlib/mpl-data/images", "icons for windows"),
    ("wheel", "for building packages"),
    ("wheel-*.dist-info", "the same"),
]
NCCL = [
    ("nvidia/nccl", "communication between several GPUs (NCCL=1 keeps it)"),
    ("nvidia_nccl*.dist-info", "the same"),
]


def size(path: Path) -> int:
    """Bytes of a file, or of a folder with everything in it."""
    files = [path] if not path.is_dir() else [each for each in path.rglob("*") if each.is_file() and not each.is_symlink()]
    return sum(each.stat().st_size for each in files)


def main() -> int:
    """Cuts, compiles, reports; returns the exit code."""
    cut = 0
    for pattern, reason in CUT + ([] if os.environ.get("NCCL") == "1" else NCCL):
        for path in sorted(PACKAGES.glob(pattern)):
            if not path.exists() and not path.is_symlink():
                continue
            taken = size(path)
            cut += taken
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            print(f"{taken / 1e6:8.1f} MB  {path.relative_to(PACKAGES)}: {reason}")
    print(f"{cut / 1e6:8.1f} MB  in all")
    # One process and unchecked hashes: the same bytes in every build, and no time stamps in them.
    compileall.compile_dir(
        PACKAGES, quiet=2, workers=1, maxlevels=50, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    for record in sorted(PACKAGES.iterdir(), key=size, reverse=True)[:12]:
        print(f"{size(record) / 1e6:8.1f} MB  {record.name} stays")
    return 0


if __name__ == "__main__":
    sys.exit(main())
