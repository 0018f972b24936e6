#!/usr/bin/env bash
# Has a release write one of everything that outlives it: tests/compatibility/write.sh CHECKOUT ARCHIVE
#
# What it writes is small, committed beside this script, and read by every later release's tests. The
# checkout is that release's; PYTHON has its packages.
set -euo pipefail
checkout=$(realpath "$1") archive=$(realpath "$2")
PYTHON=${PYTHON:-python3}
export TF_CPP_MIN_LOG_LEVEL=3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() { (cd "$checkout" && "$PYTHON" -m "components.$@"); }
has() { [ -d "$checkout/components/$1" ]; }

# The options of the first release had other names.
if step train --help | grep -q -e --hidden1; then
	network=(--hidden1 8 --hidden2 8) recall=--min-digit-recall
else
	network=(--hidden 8) recall=--min-class-recall
fi

step ingest --source fake://300 --validation-size 30 --output "$work/dataset"
for seed in 1 2; do
	model="$work/model-$seed" evaluation="$work/evaluation-$seed"
	step train --examples "$work/dataset" --model "$model" --logs "$work/logs-$seed" --seed "$seed" \
		--max-steps 200 --log-every 100 --batch-size 20 --learning-rate 0.1 "${network[@]}"
	step evaluate --examples "$work/dataset" --model "$model" --output "$evaluation" \
		--min-precision 0 "$recall" 0 --max-gap 1 --max-latency-ms 10000
	step push --model "$model" --evaluation "$evaluation" --destination "$work/registry" --run-id "run-$seed" \
		--max-serving-ms 10000
done
cp -r "$work/model-2" "$work/model"
cp -r "$work/evaluation-2" "$work/evaluation"
if has predict; then
	step predict --source fake://50 --destination "$work/registry" --output "$work/predictions"
	step watch --predictions "$work/predictions" --output "$work/drift"
fi
if (cd "$checkout" && "$PYTHON" -m pipeline local --help >/dev/null); then
	(cd "$checkout" && "$PYTHON" -m pipeline local --runs "$work/all" --destination "$work/published" --source fake://300 \
		--max-steps 100 --batch-size 20 "${network[@]}") || true # its gate holds such a model back
	if [ -f "$work/all/latest/run.json" ]; then
		run=$(basename "$(realpath "$work/all/latest")")
		mkdir -p "$work/runs/$run"
		cp "$work/all/latest/run.json" "$work/runs/$run/"
	fi
fi
cd "$work"
kept=(dataset model evaluation registry)
for name in predictions drift runs; do if [ -d "$name" ]; then kept+=("$name"); fi; done
tar --sort=name --owner=0 --group=0 --numeric-owner -czf "$archive" "${kept[@]}"
