#!/bin/sh
# Installs exactly the packages of a lock file into the image's environment, and compiles them: install-lock.sh LOCK
set -eu
/tools/with-index.sh /tools/venv/bin/uv pip install --no-deps --require-hashes --requirement "$1"
python /tools/compile.py "$VIRTUAL_ENV"
