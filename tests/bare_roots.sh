#!/usr/bin/env bash
# Types the first command of the README on bare Debian machines: bare_roots.sh SUITE… (as root, with mmdebstrap).
# A line a machine: system, Python, command, minutes, disk, outcome. What pip is set up for here, it is there, too.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
command=${COMMAND:-make local MAX_STEPS=2000 DECAY=none}
work=$(mktemp -d)
leave() { mountpoint -q "$root/proc" && umount "$root/proc"; rm -rf --one-file-system "$work"; }
trap leave EXIT

inside() { chroot "$root" env -i HOME=/root PATH=/usr/bin:/bin TERM=dumb "$@"; }

for suite in "$@"; do
  root=$work/$suite
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,git,make,python3,python3-venv "$suite" "$root"
  mount -t proc proc "$root/proc"
  cp /etc/resolv.conf /etc/hosts "$root/etc/"
  cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
  git clone --quiet "$checkout" "$root/srv/a checkout"
  began=$(date +%s)
  if inside sh -c "cd '/srv/a checkout' && $command" >"$work/$suite.log" 2>&1; then outcome=published; else outcome=failed; fi
  minutes=$((($(date +%s) - began + 30) / 60))
  disk=$(du --summarize --human-readable "$root/srv" | cut -f 1)
  system=$(sed -n 's/^PRETTY_NAME="\(.*\)"$/\1/p' "$root/etc/os-release")
  echo "| $system | $(inside python3 --version) | \`$command\` | $minutes | $disk | $outcome |"
  [ "$outcome" = published ] || tail -n 30 "$work/$suite.log" >&2
  umount "$root/proc"
  rm -rf --one-file-system "$root"
done
