#!/bin/sh
# Installs exactly the packages of a file into the image's environment, as they come, and compiles their modules:
# install-lock.sh FILE
set -eu
/tools/with-index.sh /tools/venv/bin/uv pip install --no-deps --no-build --require-hashes --requirement "$1"
python /tools/compile.py "$VIRTUAL_ENV"
