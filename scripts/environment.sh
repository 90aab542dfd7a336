#!/usr/bin/env bash
# Sourced by the other scripts: makes .venv from the hash locks when it is missing or stale; else it costs nothing.
#   make_environment         what the job needs
#   make_environment test    and what its tests need
#   make_mlflow_environment  then, .venv-mlflow: MLflow's client and server, beside all that is in .venv
# JOB_PYTHON names the interpreter to use (3.11 to 3.13); by default the first that is found.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$repository/.venv

find_python() {
  local candidate
  for candidate in ${JOB_PYTHON:-python3 python3.12 python3.13 python3.11 python}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: no Python 3.11 to 3.13 with venv was found (looked for: ${JOB_PYTHON:-python3, python3.12, python3.13, python3.11, python}); install one, or name it in JOB_PYTHON" >&2
  return 78
}

make_environment() {
  local locks lock python stamp installer
  locks=(cpu)
  # The kernel driver, not nvidia-smi: a container often has the one without the other.
  if [[ -e /proc/driver/nvidia/version || -e /dev/nvidiactl ]]; then locks=(gpu); fi
  if [[ ${1:-} == test || -e $venv/.stamp-test ]]; then locks+=(test); fi
  python=$(find_python) || return
  stamp=$(for lock in "${locks[@]}"; do cat "$repository/scripts/locks/$lock.txt"; done | cksum)
  stamp="${locks[*]} $stamp $repository $("$python" -c 'import sys; print(sys.version_info[:2])')"
  if [[ -e $venv/.stamp && $(<"$venv/.stamp") == "$stamp" ]]; then return; fi

  echo "Making .venv from the locks: ${locks[*]} (once; it takes a minute or two) …" >&2
  rm -f "$venv/.stamp"
  "$python" -m venv --clear "$venv"
  installer=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --progress-bar off)
  for lock in "${locks[@]}"; do
    "${installer[@]}" --require-hashes --requirement "$repository/scripts/locks/$lock.txt" || return
  done
  # Not `pip install --editable`: that would need a build tool in the environment of a plain run.
  "$venv/bin/python" - "$repository" <<'PY'
import pathlib, site, sys
repository, = sys.argv[1:]
pathlib.Path(site.getsitepackages()[0], "sentiment_job.pth").write_text(repository + "\n")
command = pathlib.Path(sys.executable).with_name("sentiment-job")
command.write_text(f"#!{sys.executable}\nimport sys\nfrom job.__main__ import main\nsys.exit(main())\n")
command.chmod(0o755)
PY
  if [[ " ${locks[*]} " == *" test "* ]]; then touch "$venv/.stamp-test"; fi
  printf '%s' "$stamp" >"$venv/.stamp"
}

make_mlflow_environment() {
  local place=$repository/.venv-mlflow stamp
  stamp="$(cksum <"$repository/scripts/locks/mlflow.txt") $(cat "$venv/.stamp")"
  if [[ -e $place/.stamp && $(<"$place/.stamp") == "$stamp" ]]; then return; fi
  echo "Making .venv-mlflow from the lock mlflow …" >&2
  "$venv/bin/python" -m venv --clear "$place"
  # What .venv has is seen, and not installed again; pip changes nothing outside of its own environment.
  "$venv/bin/python" -c 'import pathlib, site, sys; pathlib.Path(sys.argv[1]).write_text(site.getsitepackages()[0] + "\n")' \
    "$(echo "$place"/lib/python3.*/site-packages)/venv.pth"
  "$place/bin/python" -m pip --disable-pip-version-check install --quiet --progress-bar off \
    --require-hashes --requirement "$repository/scripts/locks/mlflow.txt" || return
  printf '%s' "$stamp" >"$place/.stamp"
}
