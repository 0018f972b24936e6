#!/bin/sh
# Installs the packages of a lock file into the image's environment and compiles them: LOCK [OPTION…] of uv.
set -eu
lock=$1
shift
/tools/with-index.sh /tools/venv/bin/uv pip install --require-hashes --requirement "$lock" "$@"
python /tools/compile.py "$VIRTUAL_ENV"
