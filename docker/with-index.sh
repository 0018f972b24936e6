#!/bin/sh
# Runs a command with the package index and the certificates of the machine that builds, which docker/images.sh
# hands over as secrets: they are there for this one command, and in no layer.
set -eu
if [ -s /run/secrets/index ]; then
  set -a
  # shellcheck source=/dev/null
  . /run/secrets/index
  set +a
fi
if [ -s /run/secrets/ca ]; then
  export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca
fi
export UV_CACHE_DIR=/cache UV_LINK_MODE=copy
exec "$@"
