#!/usr/bin/env bash
# Makes the hash locks in scripts/locks/ again from pyproject.toml: cpu.txt, gpu.txt, test.txt (which adds the tools to
# build and test), mlflow.txt (MLflow's client, and what makes a server of it for the tests) and sbom.txt (the tool that lists what is in an image, by itself). One lock serves Python 3.11 to 3.13 on every platform; none names a registry.
# `scripts/lock.sh --upgrade` takes newer releases; without it, what is locked stays as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool"
"$tool/bin/python" -m pip install --quiet 'uv==0.13.9'
lock() {
  local name=$1 source=$2
  shift 2
  "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-annotate --no-header "$@" "$source" --output-file "scripts/locks/$name.txt"
}
lock cpu pyproject.toml --extra cpu "$@"
# The same versions everywhere: what the tests have seen is what the GPU image runs.
lock gpu pyproject.toml --extra gpu --constraint scripts/locks/cpu.txt "$@"
lock test pyproject.toml --extra test --constraint scripts/locks/cpu.txt "$@"
lock mlflow pyproject.toml --extra mlflow --extra test-mlflow --constraint scripts/locks/cpu.txt "$@"
"$tool/bin/python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["sbom"], sep="\n")' \
  >"$tool/sbom.in"
lock sbom "$tool/sbom.in" "$@"
grep -c '^[a-z]' scripts/locks/*.txt
