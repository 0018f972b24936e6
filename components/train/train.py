"""Training: from a dataset to a SavedModel, exactly resumable at every checkpoint.

Here stands all that is looked at before TensorFlow is imported, which takes seconds: the data, the
workers, and whether the directory of checkpoints is of this configuration and dataset.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from components.config import Train
from components.shared.environment import COMPILED_LOOPS, choose_kernels
from components.shared.errors import StepError
from components.shared.manifests import SPLITS, Dataset, Model
from components.shared.outcome import Outcome, report_outcome
from components.shared.storage import atomic_directory, locked, write_text
from components.train.compiled import shared_loops
from components.train.distributed.cluster import Cluster

RUN_FILE = "run.json"
# These may change between the attempts of a run, since they do not touch the weights.
UNIMPORTANT = {
    "checkpoint_every",
    "checkpoint_seconds",
    "keep_checkpoints",
    "resident_mib",
    "restart",
    "worker_timeout",
}
# What runs did before there were options of these names; other new ones had no effect.
BEFORE: dict[str, Any] = {
    "standardize": False,
    "shift_each": "batch",
    "optimizer": "sgd",
    "label_smoothing": 0.0,
}
# What a run leaves in its directory, and --restart removes.
LEFTOVERS = (RUN_FILE, "checkpoint", "ckpt-*", "history.jsonl", "*/events.out.tfevents.*")


def train_and_evaluate(
    config: Train, examples: Path, output: Path, logs: Path, scored: Sequence[str] = SPLITS
) -> Model | None:
    """Trains the network, with an evaluation at each checkpoint, and on all splits at the end.

    Args:
        config: How to train.
        examples: The directory that ingest wrote.
        output: The model directory; it appears whole or not at all.
        logs: Directory of the checkpoints and TensorBoard events, the same for all workers. A run
            started again with the same one goes on where it stopped.
        scored: The splits that are evaluated at each checkpoint, validation among them.

    Returns:
        The manifest, also in ``output``; None on a worker that is not the chief.

    Raises:
        StepError: The data, the workers or the checkpoints do not fit the configuration, or the
            loss is not finite.
    """
    dataset = Dataset.read(examples)
    cluster = Cluster.from_environment()
    _check(config, dataset, cluster)
    choose_kernels(config.network)
    store = os.environ.get(COMPILED_LOOPS, "")
    with (
        _chiefs(config, dataset, output, logs) if cluster.chief else nullcontext(output) as model,
        shared_loops(Path(store).expanduser()) if store else nullcontext(),
    ):
        from components.train.fit import fit

        trained = fit(config, cluster, dataset, examples, model, logs, scored)
    if trained:
        report_trained(trained)
    return trained


def report_trained(model: Model) -> None:
    """Reports what came of training."""
    precision = model.scores["test"].precision
    message = f"Trained {model.step:,} steps: test precision@1 {precision:.4f}"
    report_outcome(Outcome(step="train", result="done", message=message, precision_at_1=precision))


@contextmanager
def _chiefs(config: Train, dataset: Dataset, output: Path, logs: Path) -> Iterator[Path]:
    """Keeps other runs off the directories that the chief writes; yields where the model goes."""
    if output.resolve() in (logs.resolve(), *logs.resolve().parents):
        raise StepError(f"{logs}: lies in {output}, which is replaced; name another --logs")
    data = {
        "dataset": dataset.fingerprint,
        "image_shape": list(dataset.image_shape),
        "classes": len(dataset.class_names),
    }
    with atomic_directory(output, Model.FILE) as model, claim(logs, config, data):
        try:
            yield model
        except OSError as error:  # without a name it is of a file that was open all the time
            if error.errno and not error.filename:
                raise OSError(error.errno, error.strerror, str(logs)) from None
            raise


def _check(config: Train, dataset: Dataset, cluster: Cluster) -> None:
    for name, split in dataset.splits.items():
        if not split.records:
            raise StepError(
                f"the {name} split has no records, expected some; run ingest on more, or with "
                "another --validation-share and --test-share"
            )
    train = dataset.splits["train"]
    if train.records < config.batch_size:
        raise StepError(
            f"the training split has {train.records} records, expected at least one batch of "
            f"{config.batch_size}; lower --batch-size"
        )
    if config.shift >= min(dataset.image_shape):
        size = " x ".join(map(str, dataset.image_shape))
        raise StepError(
            f"a shift of {config.shift} pixels, but images of {size}, expected a smaller shift "
            "than the images; lower --shift"
        )
    if config.warmup_steps >= config.max_steps:
        raise StepError(
            f"{config.warmup_steps} steps of warm-up, but {config.max_steps} in all, expected "
            "fewer; lower --warmup-steps"
        )
    if config.patience and cluster.size > 1:
        raise StepError(
            f"--patience with {cluster.size} workers, expected a single process: only the chief "
            "evaluates; leave it out"
        )
    if ":" not in config.network and config.network not in (names := _networks()):
        raise StepError(
            f"--network {config.network}: there is no such file in components/train/networks, "
            f"expected {', '.join(names)}, or path/to/file.py:function"
        )
    if config.batch_size % cluster.size:
        raise StepError(
            f"batch size {config.batch_size} for {cluster.size} workers, expected a multiple of "
            "their number; change --batch-size"
        )


def _networks() -> list[str]:
    files = (Path(__file__).parent / "networks").glob("[a-z]*.py")
    return sorted({file.stem for file in files} - {"network", "keras_model"})


@contextmanager
def claim(directory: Path, config: Train, data: Mapping[str, object]) -> Iterator[None]:
    """Makes a directory this run's for the block: no other run may write to it meanwhile.

    What it holds must be of the same configuration and data.

    Args:
        directory: Holds the checkpoints of an earlier attempt, of another run, or nothing.
        config: With ``restart``, another run's leavings are removed.
        data: What identifies the dataset, by name.

    Raises:
        StepError: It holds another run's, and names what differs; or another run writes to it.
        OSError: It cannot be written.
    """
    identity = {k: v for k, v in dataclasses.asdict(config).items() if k not in UNIMPORTANT}
    identity |= data
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / ".lock", directory):
        _take(directory, identity, config.restart)
        yield


def _take(directory: Path, identity: dict[str, object], restart: bool) -> None:
    differing = _differing(directory, identity)
    if differing == ["max_steps"] and _longer(directory, identity):
        _extend(directory, identity, restart)
    elif differing and not restart:
        found = _found(directory) or {}
        differences = [
            f"{name} {found.get(name)!r} there, {identity.get(name)!r} here"
            if name in found or name in identity
            else name
            for name in differing
        ]
        raise StepError(
            f"{directory}: holds checkpoints of another run ({'; '.join(differences)}); name "
            "another directory, or discard them with --restart"
        )
    elif differing:
        _discard(directory)
    if not (directory / RUN_FILE).exists():
        write_text(directory / RUN_FILE, json.dumps(identity, indent=2) + "\n")


def _extend(directory: Path, identity: dict[str, object], restart: bool) -> None:
    """Makes a run one of more steps, which goes on where it ended.

    Raises:
        StepError: Its learning rate fell towards its last step: with more of them, the steps that
            were taken would have been others.
    """
    if identity["decay"] == "none":
        write_text(directory / RUN_FILE, json.dumps(identity, indent=2) + "\n")
    elif restart:
        _discard(directory)
    else:
        raise StepError(
            f"{directory}: cannot go on to step {identity['max_steps']}, since with --decay "
            f"{identity['decay']} the learning rate fell towards its last step; only a run with "
            "--decay none can be extended. Name another directory, or discard it with --restart"
        )


def _discard(directory: Path) -> None:
    for path in (path for pattern in LEFTOVERS for path in directory.glob(pattern)):
        if path.is_dir():  # of a checkpoint that was not finished
            shutil.rmtree(path)
        else:
            path.unlink()


def _longer(directory: Path, identity: dict[str, object]) -> bool:
    before, now = (_found(directory) or {}).get("max_steps"), identity["max_steps"]
    return isinstance(before, int) and isinstance(now, int) and before < now


def _found(directory: Path) -> dict[str, object] | None:
    """Returns what a directory says of itself, None where it says nothing that can be read."""
    try:
        found = json.loads((directory / RUN_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _differing(directory: Path, identity: dict[str, object]) -> list[str]:
    """Returns the names of what differs, or a phrase on why that cannot be said."""
    if not (directory / RUN_FILE).exists():
        # It is there before the first checkpoint is.
        checkpoints = any(directory.glob("ckpt-*"))
        return [f"{RUN_FILE}, which says of which, is missing"] if checkpoints else []
    found = _found(directory)
    if found is None:
        return [f"{RUN_FILE} is unreadable"]
    found = dataclasses.asdict(Train()) | BEFORE | found
    names = sorted(found.keys() | identity)
    return [
        name for name in names if name not in UNIMPORTANT and found.get(name) != identity.get(name)
    ]
