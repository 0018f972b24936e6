#!/bin/sh
# Writes what each image installs, a file of requirements with hashes an image or layer: locks.sh DIRECTORY
# All are versions of uv.lock. Names and hashes are taken from there, and not where the packages lay, so that a mirror
# of the index will do.
set -eu
cd "$(dirname "$0")/.."
directory=$1
mkdir -p "$directory"

lock() { # NAME OPTIONS
  name=$1
  shift
  uv export --quiet --frozen --no-default-groups --no-emit-project --no-annotate --no-header "$@" \
    --output-file "$directory/$name.txt" >/dev/null
}

lock ingest --extra ingest --extra s3
lock tensorflow --extra tensorflow
lock train --extra train
lock train-gpu --group train-gpu
lock evaluate --extra evaluate --extra s3
lock push --extra push --extra export --extra s3
lock predict --extra predict --extra s3
# Of KFP only its executor is used, which imports none of the packages that KFP asks for.
awk '/^[^ ]/ { on = /^kfp==/ } on' requirements.txt >"$directory/kfp.txt"
