#!/usr/bin/env bash
# Builds an image with the source revision as its label.
#   scripts/build-image.sh [gpu|multi-gpu|cpu] [NAME] [docker build options]     the name defaults to sentiment-job:gpu and so on
# multi-gpu is gpu with NCCL, by which several GPUs train one network.
# BASE       the base image; by default the Dockerfile's, pinned to its digest where the registry can be asked
# CA_BUNDLE  certificates to trust while packages are fetched, behind a proxy with a CA of its own
# PIP_CONF   a pip.conf that names a mirror of the package registry
# DOCKER     the client; by default docker, or podman where there is no docker
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=gpu
options=()
if [[ ${1:-} == gpu || ${1:-} == multi-gpu || ${1:-} == cpu ]]; then
  target=$1
  shift
fi
name=sentiment-job:$target
if [[ $target == multi-gpu ]]; then
  target=gpu
  options+=(--build-arg NCCL=1)
fi
if [[ $# -gt 0 && $1 != -* ]]; then
  name=$1
  shift
fi
docker=${DOCKER:-$(command -v docker || command -v podman || true)}
if [[ -z $docker ]]; then
  echo "error: neither docker nor podman was found; install one, or name it in DOCKER" >&2
  exit 69
fi
if [[ -z ${BASE:-} ]]; then
  BASE=$(sed -n 's/^ARG BASE=//p' "$repository/docker/Dockerfile")
  if "$docker" pull --quiet "$BASE" >/dev/null 2>&1; then
    digest=$("$docker" image inspect --format '{{index .RepoDigests 0}}' "$BASE" 2>/dev/null || true)
    BASE=${digest:-$BASE}
  else
    echo "warning: no registry could be asked for the digest of $BASE; building from that name as it is here" >&2
  fi
fi
revision=$(git -C "$repository" describe --always --dirty --abbrev=40 2>/dev/null || echo unknown)
source=$(git -C "$repository" config --get remote.origin.url 2>/dev/null || echo unknown)
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$repository/job/__init__.py")
if [[ -n ${CA_BUNDLE:-} ]]; then options+=(--secret "id=ca,src=$CA_BUNDLE"); fi
if [[ -n ${PIP_CONF:-} ]]; then options+=(--secret "id=pip,src=$PIP_CONF"); fi
export DOCKER_BUILDKIT=1
"$docker" build --file "$repository/docker/Dockerfile" --target "$target" --tag "$name" --build-arg "BASE=$BASE" \
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE=$source" "${options[@]}" "$@" "$repository"
echo "$name: built from $BASE, revision $revision" >&2
