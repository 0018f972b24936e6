#!/usr/bin/env bash
# Runs a command with a podman of its own, storage and socket included, on a Debian machine as root that has no
# container engine running: docker/with-podman.sh make local RUNNER=docker
set -euo pipefail
cd "$(dirname "$0")/.."
home=$PWD/build/podman
socket=$(mktemp -d)
mkdir -p "$home"

cat >"$home/storage.conf" <<TOML
[storage]
driver = "overlay"
graphroot = "$home/storage"
runroot = "$home/run"
TOML
# No systemd is needed, nor limits higher than a container may have that is a guest itself.
cat >"$home/containers.conf" <<TOML
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
exit_command_delay = 1
TOML
cat >"$home/registries.conf" <<TOML
[[registry]]
location = "localhost:5000"
insecure = true
TOML
export CONTAINERS_REGISTRIES_CONF=$home/registries.conf
export CONTAINERS_STORAGE_CONF=$home/storage.conf CONTAINERS_CONF=$home/containers.conf
export ENGINE=podman DOCKER_HOST=unix://$socket/podman.sock

podman system service --time=0 "$DOCKER_HOST" 2>"$home/service.log" &
service=$!
finish() {
  kill "$service"
  wait "$service" || true
  rm -rf "$socket"
  # For a command that ran in a container, one more podman tidies up, a second later, and mounts the storage anew.
  for _ in $(seq 100); do
    grep -qsa "${home}[/]storage" /proc/[0-9]*/cmdline || break
    sleep 0.1
  done
  # More than one podman may have mounted it, and make clean fails where one is left.
  while umount --quiet --lazy "$home/storage/overlay" 2>/dev/null; do :; done
}
trap finish EXIT
for _ in $(seq 100); do
  [ -S "$socket/podman.sock" ] && break
  sleep 0.1
done
"$@"
