#!/usr/bin/env bash
# Everything that only a GPU can show, in one command on a machine that has one: a table, gpu-proof/proof.json, and
# exit code 1 where anything failed. Options go to scripts/measure/gpu.py (--data, --seeds, --output, --device).
#   scripts/gpu-proof.sh --data imdb.npz
# Makes .venv from the locks first. Where no registry is reached, name in PROOF_PYTHON an interpreter that has all that
# the job needs (and pytest, for the tests marked gpu); it is used as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -n ${PROOF_PYTHON:-} ]]; then
  python=$PROOF_PYTHON
else
  source scripts/environment.sh
  make_environment test
  python=$venv/bin/python
fi
exec "$python" -m scripts.gpu_proof "$@"
