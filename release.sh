#!/usr/bin/env bash
# Makes a release in this checkout, to be looked at and pushed by hand: release.sh VERSION [NEXT]
# make calls it. docs/releasing.md says what comes before and after. Where a part fails, the checkout is as it was.
set -Eeuo pipefail # -E: what fails within a function is taken back, too
cd "$(dirname "$0")"
python=$(realpath --no-symlinks "${VENV:-.venv}")/bin/python
uv=${python%/python}/uv
version=${1:-}
unset MAKEFLAGS MAKEOVERRIDES # what this was called with is not for the make below
fail() { echo "error: $*" >&2; exit 1; }

[[ $version =~ ^([0-9]+)\.([0-9]+)\.[0-9]+$ ]] || fail "'$version' is not a version; make release VERSION=1.2.3"
next=${2:-${BASH_REMATCH[1]}.$((BASH_REMATCH[2] + 1)).0}
[[ $next =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "'$next' is not a version; make release VERSION=1.2.3 NEXT=1.3.0"
[ -z "$(git status --porcelain)" ] || fail "changes that are not committed, which no release would have; commit or remove them"
! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null || fail "v$version was released already; name a later version"
current=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
ordered=$(printf '%s\n' "$current" "$version" "$next")
[ "$(sort --version-sort --unique <<<"$ordered")" = "$(uniq <<<"$ordered")" ] && [ "$version" != "$next" ] ||
  fail "$version, and $next after it, do not follow $current, the version of this checkout"
grep -q "^## .*, unreleased$" CHANGELOG.md || fail "CHANGELOG.md: no heading '## $current, unreleased'; say there what users will notice"

before=$(git rev-parse HEAD)
take_back() {
  echo "Taking back what was done" >&2
  git tag --delete "v$version" >/dev/null 2>&1 || true
  git reset --quiet --hard "$before"
  git clean --quiet --force tests/compatibility
}
trap 'take_back' ERR
trap 'trap - ERR; take_back; exit 130' INT TERM

set_version() {
  sed -i "s/^version = \".*\"$/version = \"$1\"/" pyproject.toml
  sed -i "s/^VERSION = \".*\"$/VERSION = \"$1\"/" components/config.py
  "$uv" lock --quiet --offline --python "$python"
}

set_version "$version"
sed -i "s/^## .*, unreleased$/## $version, $(date --utc +%F)/" CHANGELOG.md
git commit --quiet --all --message "Release $version"
git tag --annotate "v$version" --message "Version $version"

notes=build/release/$version
rm -rf "$notes"
mkdir -p "$notes"
awk -v start="## $version," '/^## / { on = index($0, start) == 1; next } on' CHANGELOG.md | sed '/./,$!d' >"$notes/notes.md"
make --no-print-directory sbom "VENV=${VENV:-.venv}"
cp build/sbom/*.json "$notes"
echo "Writing what later versions are to read: tests/compatibility/$version.tar.gz"
PYTHON=$python tests/compatibility/write.sh . "tests/compatibility/$version.tar.gz" >build/release/compatibility.log

set_version "$next"
sed -i "0,/^## /s//## $next, unreleased\n\n## /" CHANGELOG.md
git add tests/compatibility
git commit --quiet --all --message "Begin $next, and keep what $version wrote for it to read"
trap - ERR INT TERM
cat <<TEXT
Released $version here, as v$version; notes and bills of materials are in $notes. What is left:
  git push origin HEAD v$version
  git checkout v$version && make images REGISTRY=… TAG=$version
which pushes REGISTRY/mnist-pipeline-STEP:$version, by digest in images.json.
TEXT
