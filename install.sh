#!/usr/bin/env bash
# Installs the versions of uv.lock into an environment: what runs, or with --development what tests and lints besides.
# make calls it. VENV is the environment, BASE_PYTHON the interpreter to make it with, INSTALLER=pip spares uv.
set -euo pipefail
cd "$(dirname "$0")"
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

# The lines of requirements.txt for packages: entries NAME…
entries() { awk -v names=" $* " '/^[^ ]/ { split($1, pin, "=="); on = index(names, " " pin[1] " ") } on' requirements.txt; }

# Those of all packages to be installed; the last part of the file is for development.
wanted() {
  if [ "$development" ]; then cat requirements.txt; else sed '/^# Tests/,$d' requirements.txt; fi
}

# uv brings a Python of its own. Where there is no uv, any Python that makes environments can install it.
with_uv() {
  uv=$(command -v uv || true)
  if [ -z "$uv" ] && runs python3 "import venv, ensurepip"; then
    python3 -m venv build/uv
    build/uv/bin/python -m pip install --quiet --require-hashes -r <(entries uv)
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

# Runs a command that says nothing for a while, with a dot every few seconds.
with_dots() {
  while sleep 3 >/dev/null 2>&1; do printf . >&2; done &
  dots=$!
  trap 'kill $dots' EXIT
  began=$SECONDS status=0
  "$@" || status=$?
  trap - EXIT
  kill $dots
  [ $((SECONDS - began)) -lt 3 ] || echo >&2
  return $status
}

# Without build isolation, which would take the newest setuptools of the hour: kfp-server-api comes as source alone, and
# the setuptools that is locked builds it.
pip_install() { "$python" -m pip install --no-build-isolation --require-hashes "$@"; }

# By names and hashes from uv.lock, and not from where it has them, as uv sync does: from this machine's index.
uv_install() {
  extras=(--extra all)
  [ -z "$development" ] || extras+=(--extra export --group dev)
  "$venv/bin/uv" export --quiet --frozen --python "$python" --no-default-groups --no-emit-project "${extras[@]}" \
    | "$venv/bin/uv" pip install --python "$python" --no-build-isolation --require-hashes -r - "$@"
}

install_with_uv() {
  [ "${INSTALLER:-uv}" = uv ] || return 1
  pip_install --quiet -r <(entries setuptools uv) || return 1
  if [ -t 2 ]; then uv_install --color=auto; else with_dots uv_install --quiet; fi || return 1 # a terminal gets uv's own progress
  # Bytecode now: an import of TensorFlow takes half the time, and some places let none be written later.
  echo "Compiling their modules, so that they start fast" >&2
  packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  with_dots "$python" -m compileall -qq -j 0 "$packages" || true # some hold files that are no Python
}

[ "${1:-}" = --development ] && development=yes || development=
case $(uname -sm) in
  "Linux x86_64" | "Linux aarch64" | "Darwin arm64") ;;
  *) fail "$(uname -sm): no packages of TensorFlow; there are some for Linux on x86-64 and arm64, and for macOS on Apple silicon" ;;
esac
runs "$python" "$version_fits" || make_environment
echo "Installing $(wanted | grep -c '^[a-z]') packages into $venv, with $("$python" --version)" >&2
if ! install_with_uv; then
  # For a mirror, a certificate or a proxy that only pip is set up for.
  echo "Installing with pip, which takes a few minutes" >&2
  pip_install --quiet -r <(entries setuptools)
  pip_install --progress-bar on -r <(wanted) | { grep -v '^Requirement already' || true; }
fi
