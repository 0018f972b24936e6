#!/usr/bin/env bash
# Builds the images on a stand-in for the public base image, and runs a command that tries them: see
# docker/with-podman.sh and 'make test-containers'.
set -euo pipefail
cd "$(dirname "$0")/.."
STEPS=$(docker/targets.sh | grep -v gpu)
export STEPS BASE_IMAGE=localhost/python-stand-in:3.11

# Debian's Python in the place where the public image has its own.
if ! podman image exists "$BASE_IMAGE"; then
  echo "Making $BASE_IMAGE from Debian's packages" >&2
  # shellcheck disable=SC2016
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv \
    --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python"' \
    --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python3"' \
    bookworm - | podman import --quiet - "$BASE_IMAGE" >/dev/null
fi
docker/images.sh
"$@"
