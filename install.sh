#!/usr/bin/env bash
# Installs what a lock file names into an environment: make calls it. VENV is the environment, BASE_PYTHON the
# interpreter to make it with, INSTALLER=pip spares uv.
set -euo pipefail
cd "$(dirname "$0")"
lock=$1
venv=${VENV:-.venv}
python=$venv/bin/python
# UV_SYSTEM_CERTS: the certificates that this machine trusts, a company's own among them.
export UV_SYSTEM_CERTS=1 PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 # in an environment of its own, whatever pip is set up for

fail() { echo "error: $*" >&2; exit 1; }

version_fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
runs() { "$1" -c "$2" >/dev/null 2>&1; }

# The first interpreter whose version fits and that can make an environment.
find_python() {
  for candidate in ${BASE_PYTHON:+"$BASE_PYTHON"} python3.11 python3.12 python3.13 python3 python; do
    if runs "$candidate" "$version_fits" && runs "$candidate" "import venv, ensurepip"; then
      echo "$candidate"
      return
    fi
    [ "$candidate" != "${BASE_PYTHON:-}" ] || return 0 # asked for by name, and no other will do
  done
}

# uv brings a Python of its own. Where there is no uv, any Python that makes environments can install it.
with_uv() {
  uv=$(command -v uv || true)
  if [ -z "$uv" ] && runs python3 "import venv, ensurepip"; then
    python3 -m venv build/uv
    build/uv/bin/python -m pip install --quiet --require-hashes -r requirements-uv.lock
    uv=build/uv/bin/uv
  fi
  [ -n "$uv" ] && "$uv" venv --quiet --seed --clear --python 3.12 "$venv"
}

no_python() {
  [ -z "${BASE_PYTHON:-}" ] || fail "$BASE_PYTHON: no Python 3.11 to 3.13 with venv; name another one as BASE_PYTHON"
  for candidate in python3.11 python3.12 python3.13 python3; do
    if runs "$candidate" "$version_fits"; then
      fail "$candidate has no venv; on Debian and Ubuntu: apt install python3-venv"
    fi
  done
  fail "no Python 3.11 to 3.13 found ($(python3 --version 2>/dev/null || echo no python3 at all); TensorFlow" \
    "2.21 has none for 3.14); install one, or uv, which brings its own: https://docs.astral.sh/uv"
}

make_environment() {
  base=$(find_python)
  if [ -n "$base" ]; then
    "$base" -m venv "$venv"
  elif [ -n "${BASE_PYTHON:-}" ] || ! with_uv; then
    no_python
  fi
}

install_with_uv() {
  [ "${INSTALLER:-uv}" = uv ] || return 1
  "$python" -m pip install --quiet --require-hashes -r requirements-uv.lock || return 1
  quiet=--quiet
  [ ! -t 2 ] || quiet=--color=auto # a terminal gets uv's own progress
  # Bytecode now: an import of TensorFlow takes half the time, and some places let none be written later.
  "$venv/bin/uv" pip install "$quiet" --compile-bytecode --python "$python" --require-hashes -r "$lock"
}

runs "$python" "$version_fits" || make_environment
echo "Installing $(grep -c '^[a-z]' "$lock") packages into $venv, with $("$python" --version): $lock" >&2
if ! install_with_uv; then
  # For a mirror, a certificate or a proxy that only pip is set up for.
  echo "Installing with pip, which takes a few minutes" >&2
  "$python" -m pip install --progress-bar on --require-hashes -r "$lock" | { grep -v '^Requirement already' || true; }
fi
