#!/usr/bin/env bash
# Runs the tests, side by side on up to four cores; any pytest argument may follow (-n0: in one process).
# Makes .venv with the test tools first when it is missing or stale.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment test
cd "$repository"
exec "$venv/bin/python" -m pytest -n auto --maxprocesses 4 "$@"
