#!/usr/bin/env bash
# Makes a base for the images where no registry can be asked for one: Debian 12 with a Python, from Debian's packages.
#   scripts/bootstrap-base.sh sentiment-job-base:local
# Takes this machine's Python 3.12 where it has one that can be moved (pyenv, or built in /usr/local); else Debian's own.
# Needs root, debootstrap and a Docker Engine (DOCKER names the client).
set -euo pipefail
name=${1:?the name of the image to make}
docker=${DOCKER:-docker}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

python=
for candidate in "$HOME"/.pyenv/versions/3.12.*/bin/python3.12 /usr/local/bin/python3.12; do
  if [[ -x $candidate ]]; then python=$candidate; fi
done
# What the standard library's modules link to.
include=ca-certificates,libssl3,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,libreadline8,libexpat1,libuuid1
if [[ -z $python ]]; then include+=,python3,python3-venv; fi
debootstrap --variant=minbase --include="$include" bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/* "$root"/var/log/*
if [[ -n $python ]]; then
  prefix=$(dirname "$(dirname "$python")")
  mkdir -p "$root/usr/local"
  tar -C "$prefix" --exclude=__pycache__ --exclude='*.a' --exclude=lib/python3.12/test --exclude=share \
    --exclude=lib/python3.12/site-packages -cf - bin/python3.12 include/python3.12 lib |
    tar -C "$root/usr/local" --no-same-owner -xf -
  ln -sf python3.12 "$root/usr/local/bin/python3"
  mkdir -p "$root/usr/local/lib/python3.12/site-packages"
  chroot "$root" ldconfig
fi
tar -C "$root" --numeric-owner --sort=name -cf - . |
  "$docker" import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' --change 'ENV LANG=C.UTF-8' - "$name"
