#!/usr/bin/env bash
# Runs the job: without arguments the preset `quickstart` (offline, half a minute on two cores), else
# `sentiment-job train` with the arguments as they are. Makes .venv first when it is missing or stale.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment
if (($# == 0)); then set -- --preset quickstart; fi
exec "$venv/bin/sentiment-job" train "$@"
