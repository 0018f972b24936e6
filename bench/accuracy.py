"""How accurate the trained network is: mean and spread over seeds, and the curves of one run.

Every run is the train step's own command line on MNIST. Prints a Markdown table and draws
docs/images/curves.svg: ``make bench-accuracy``, or some settings' lines of the table alone:
``make bench-accuracy ARGS=best``.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from components.shared.command_line import argument
from components.shared.manifests import Model

SEEDS = int(os.environ.get("SEEDS", "5"))
ROOT = Path(__file__).resolve().parent.parent
CURVES = ROOT / "docs" / "images" / "curves.svg"


class Setting(NamedTuple):
    """A way to train."""

    name: str
    options: dict[str, object]
    seeds: int


# Plain gradient descent for as long as it takes; the default of before.
PLAIN: dict[str, Any] = {
    **{"optimizer": "sgd", "learning_rate": 0.5, "decay": "cosine", "label_smoothing": 0},
    **{"batch_size": 100, "max_steps": 16_500, "checkpoint_every": 2_000},
    **{"shift_each": "batch", "standardize": False},
}
SETTINGS = (
    Setting("default", {}, SEEDS),
    Setting("best", {"recipe": "best"}, SEEDS),
    Setting("best, wide", {"recipe": "best", "hidden": "800,200"}, 1),
    Setting("cnn", {"network": "cnn"}, min(SEEDS, 3)),
    Setting("tutorial", {"recipe": "tutorial"}, SEEDS),
    Setting("no shifts", {"shift": 0}, 1),
    Setting("plain", PLAIN, SEEDS),
    Setting("plain, momentum", {**PLAIN, "momentum": 0.9, "learning_rate": 0.05}, min(SEEDS, 2)),
    Setting("plain, wide", {**PLAIN, "hidden": "800,200"}, 1),
)


def train(examples: Path, directory: Path, options: dict[str, object]) -> tuple[Model, float]:
    """Trains once.

    Returns:
        The manifest, and the seconds from the first status line to the end, evaluations, summaries
        and checkpoints included.
    """
    command = [sys.executable, "-u", "-m", "components.train"]
    places = {"examples": examples, "model": directory / "model", "logs": directory / "logs"}
    command += [argument(name, value) for name, value in {**places, **options}.items()]
    started = 0.0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            started = started or (time.perf_counter() if line.startswith("Step ") else 0.0)
    if process.returncode:
        raise SystemExit(f"training failed: {' '.join(command)}")
    return Model.read(directory / "model"), time.perf_counter() - started


def draw(histories: dict[str, Path], target: Path) -> None:
    """Draws loss and precision over the steps."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "curves"
    from matplotlib import pyplot as plt

    figure, (losses, precisions) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for name, path in histories.items():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        told = [row for row in rows if "loss/batch" in row]
        smooth = [
            statistics.fmean(row["loss/batch"] for row in told[max(0, i - 4) : i + 5])
            for i in range(len(told))
        ]
        losses.plot([row["step"] for row in told], smooth, label=name)
        scored = [row for row in rows if "precision_at_1/test" in row]
        for split, style in (("train", ":"), ("validation", "-")):
            precisions.plot(
                [row["step"] for row in scored],
                [row[f"precision_at_1/{split}"] for row in scored],
                style,
                color=losses.lines[-1].get_color(),
                label=f"{name}, {split}",
            )
    losses.set(xlabel="step", ylabel="loss (nats, mean of 9 status lines)", yscale="log")
    precisions.set(xlabel="step", ylabel="precision@1", ylim=(0.9, 1.0))
    for axes in (losses, precisions):
        axes.legend()
        axes.grid(alpha=0.3)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    """Trains every setting, or those named, with its seeds; prints the table, draws the curves."""
    from components.config import Ingest
    from components.ingest.ingest import ingest

    wanted = sys.argv[1:]
    if unknown := set(wanted) - {setting.name for setting in SETTINGS}:
        known = ", ".join(repr(setting.name) for setting in SETTINGS)
        raise SystemExit(f"no setting {', '.join(unknown)}, expected some of {known}")
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        examples = scratch / "examples"
        ingest(Ingest(source=str(ROOT / "data" / "mnist")), examples)
        print("| setting | runs | train | validation | test | test, lowest to highest | seconds |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for setting in (each for each in SETTINGS if not wanted or each.name in wanted):
            runs = [
                train(
                    examples,
                    Path(scratch) / f"{setting.name}-{seed}",
                    {**setting.options, "seed": seed},
                )
                for seed in range(setting.seeds)
            ]
            scores = {
                split: [model.scores[split].precision for model, _ in runs]
                for split in ("train", "validation", "test")
            }
            means = " | ".join(f"{statistics.fmean(values):.4f}" for values in scores.values())
            spread = f"{min(scores['test']):.4f} to {max(scores['test']):.4f}"
            seconds = statistics.median(seconds for _, seconds in runs)
            print(
                f"| {setting.name} | {setting.seeds} | {means} | {spread} | {seconds:.0f} |",
                flush=True,
            )
        if wanted:
            return
        draw(
            {
                name: Path(scratch) / f"{name}-0/model/history.jsonl"
                for name in ("default", "no shifts")
            },
            CURVES,
        )


if __name__ == "__main__":
    main()
