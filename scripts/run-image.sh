#!/usr/bin/env bash
# Runs the image on the volumes ./output and ./cache, as the calling user, with the GPUs if there are any.
#   scripts/run-image.sh [arguments of sentiment-job]     without any: train, with the defaults
# IMAGE           by default sentiment-job:gpu where an NVIDIA driver is present, else sentiment-job:cpu
# OUTPUT, CACHE   the folders to mount; by default ./output and ./cache
# DOCKER          the client; by default docker, or podman where there is no docker
# DOCKER_OPTIONS  more options for `docker run`, separated by spaces
set -euo pipefail
docker=${DOCKER:-$(command -v docker || command -v podman || true)}
if [[ -z $docker ]]; then
  echo "error: neither docker nor podman was found; install one, or name it in DOCKER" >&2
  exit 69
fi
gpu=()
image=sentiment-job:cpu
if [[ -e /proc/driver/nvidia/version || -e /dev/nvidiactl ]]; then
  gpu=(--gpus all)
  image=sentiment-job:gpu
fi
output=${OUTPUT:-$PWD/output} cache=${CACHE:-$PWD/cache}
# Made here, or the engine makes them as root and the job may not write there.
mkdir -p "$output" "$cache"
read -ra more <<<"${DOCKER_OPTIONS:-}"
# A minute for the last checkpoint when it is stopped.
exec "$docker" run --rm --init=false --stop-timeout 60 "${gpu[@]}" --user "$(id -u):$(id -g)" \
  --volume "$output:/output" --volume "$cache:/cache" "${more[@]}" "${IMAGE:-$image}" "$@"
