#!/usr/bin/env bash
# Builds the images, with docker, podman or buildah. With REGISTRY=registry.example/team they are pushed, and
# images.json names them by digest, and the commit. More settings: TAG, STEPS, ENGINE, BASE_IMAGE.
set -euo pipefail
cd "$(dirname "$0")/.."
TAG=${TAG:-latest}
REGISTRY=${REGISTRY:-}
STEPS=${STEPS:-$(docker/targets.sh)}
IMAGES=${IMAGES:-images.json}

# docker may be there without its daemon; the others need none.
find_engine() {
  if docker info >/dev/null 2>&1; then echo docker; return; fi
  for engine in podman buildah; do
    if command -v "$engine" >/dev/null; then echo "$engine"; return; fi
  done
  echo "error: no container engine found; start docker, or install podman or buildah" >&2
  return 1
}

pip_config() {
  { .venv/bin/python -m pip config list || python3 -m pip config list || true; } 2>/dev/null
}

# Where packages come from on this machine, as pip and uv are set up, for the time of the build.
index() {
  pip_config | while IFS='=' read -r key value; do
    case $key in
      *.index-url) printf 'PIP_INDEX_URL=%s\nUV_DEFAULT_INDEX=%s\n' "$value" "$value" ;;
      *.extra-index-url) printf 'PIP_EXTRA_INDEX_URL=%s\nUV_INDEX=%s\n' "$value" "$value" ;;
      *.trusted-host) printf 'PIP_TRUSTED_HOST=%s\nUV_INSECURE_HOST=%s\n' "$value" "$value" ;;
    esac
  done
  env | sed -n "s/^\(UV_[A-Z_]*INDEX[A-Z_]*\|UV_INSECURE_HOST\)=\(.*\)/\1='\2'/p"
}

certificates() {
  for file in "${SSL_CERT_FILE:-}" $(pip_config | sed -n "s/^.*\.cert='\(.*\)'$/\1/p"); do
    if [ -s "$file" ]; then cat "$file"; return; fi
  done
}

build() { # STEP NAME
  local options=(--file docker/Dockerfile --target "$1" --tag "$2")
  options+=(--secret "id=index,src=$secrets/index" --secret "id=ca,src=$secrets/ca")
  [ -z "${BASE_IMAGE:-}" ] || options+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
  case $engine in
    docker) docker build "${options[@]}" --build-arg "SOURCE_DATE_EPOCH=$epoch" . ;;
    *) "$engine" build "${options[@]}" --layers --timestamp "$epoch" . ;;
  esac
}

push() { # NAME; prints the name by digest
  if [ "$engine" = docker ]; then
    docker push --quiet "$1" >/dev/null
    docker image inspect --format '{{join .RepoDigests "\n"}}' "$1" | grep "^${1%:*}@"
  else
    "$engine" push --quiet --digestfile "$secrets/digest" "$1" >/dev/null
    echo "${1%:*}@$(cat "$secrets/digest")"
  fi
}

# The commit that the images are built at, as components/shared/code.py reads it; nothing outside git.
commit() {
  [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$PWD" ] || return 0
  local dirty=
  [ -z "$(git status --porcelain -- components docker uv.lock)" ] || dirty=-dirty  # what images are built from
  echo "$(git rev-parse HEAD)$dirty"
}

engine=${ENGINE:-$(find_engine)}
# The time that all files have: a new one would be a new digest, and so a step run again.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct -- docker 2>/dev/null || true)}
epoch=${epoch:-0}
secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
index >"$secrets/index"
certificates >"$secrets/ca"

entries=("\"commit\": \"$(commit)\"")
for step in $STEPS; do
  echo "Building $step with $engine" >&2
  name=${REGISTRY:+$REGISTRY/}mnist-pipeline-$step
  build "$step" "$name:$TAG" >&2
  if [ -n "$REGISTRY" ]; then
    entries+=("\"$step\": \"$(push "$name:$TAG")\"")
  fi
done
if [ -n "$REGISTRY" ]; then
  printf '{%s}\n' "$(IFS=,; echo "${entries[*]}")" >"$IMAGES"
  echo "Wrote $IMAGES: make compile IMAGES=$IMAGES"
fi
