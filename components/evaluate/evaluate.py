"""Evaluation: from a SavedModel and a dataset to figures, a report and a decision."""

import dataclasses
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.config import Evaluate, Train
from components.evaluate import report
from components.evaluate.blessing import enumerate_names, judge
from components.evaluate.comparison import compare
from components.evaluate.figures import RocTally, Tally
from components.evaluate.mistakes import Mistakes
from components.evaluate.outputs import Outputs
from components.evaluate.progress import Progress
from components.evaluate.report import Pictures
from components.evaluate.robustness import Robustness
from components.evaluate.scoring import Observer, read, score
from components.evaluate.serving import check
from components.scoring.classifier import classifier, load
from components.shared import places
from components.shared.errors import StepError, log_line
from components.shared.evaluation import Comparison, Mistake, Roc, Serving, Slice, SplitEvaluation
from components.shared.manifests import SPLITS, Dataset, Evaluation, Model, Score
from components.shared.outcome import Outcome, report_outcome
from components.shared.storage import atomic_directory, sha256_of_saved_model


class Measured(NamedTuple):
    """The figures of an evaluation, by their names in the manifest."""

    seconds: dict[str, float]
    serving: Serving
    splits: dict[str, SplitEvaluation]
    robustness: list[Slice]
    champion: Comparison | None
    mistakes: list[Mistake]
    roc: Roc


def evaluate(
    config: Evaluate,
    examples: Path,
    model: Path,
    output: Path,
    champion: Path | None = None,
    name: str = "",
    registry: str = "",
) -> Evaluation:
    """Scores a SavedModel on all splits and decides whether it may go out.

    Args:
        config: The bounds of the rules.
        examples: The directory that ingest wrote.
        model: The directory that train wrote.
        output: The evaluation directory; it appears whole or not at all.
        champion: The SavedModel to compare with, None where there is none; with ``no_champion`` it
            is left alone.
        name: The model's, under which it would be published; empty: not known.
        registry: Where the champion was looked for, as it may be shown; empty: nowhere.

    Returns:
        The manifest, also in ``output``.

    Raises:
        StepError: A model or the dataset is unusable.
    """
    dataset, manifest = Dataset.read(examples), Model.read(model)
    _check_classes(dataset, manifest)
    with atomic_directory(output, Evaluation.FILE) as directory:
        with Outputs(directory, dataset, examples) as outputs:
            saved_model, other = model / "saved_model", None if config.no_champion else champion
            progress = Progress(str(saved_model), config.model_timeout)
            measured, pictures = progress.watch(
                lambda: _measure(dataset, examples, saved_model, other, outputs, progress)
            )
        evaluation = Evaluation(
            verdicts=judge(config, measured.splits, measured.champion, measured.serving, registry),
            warnings=_warnings(dataset, manifest, measured.splits["test"]),
            model_sha256=sha256_of_saved_model(model / "saved_model"),
            dataset_fingerprint=dataset.fingerprint,
            config=dataclasses.asdict(config),
            versions={
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
            },
            **measured._asdict(),
        )
        evaluation.write(directory)
        options = {
            **dataset.options,
            **Train.changed(manifest.config),
            **Evaluate.changed({**evaluation.config, "no_champion": False}),
        }
        outputs.write(evaluation.model_sha256, manifest.run, evaluation.splits["test"], options)
        report.write(directory / report.FILE, evaluation, manifest, dataset, model, pictures, name)
        report.write_model_card(directory / report.MODEL_CARD, evaluation, manifest, dataset, name)
    _log(evaluation)
    return evaluation


def _measure(
    dataset: Dataset,
    examples: Path,
    saved_model: Path,
    champion: Path | None,
    outputs: Outputs,
    progress: Progress,
) -> tuple[Measured, Pictures]:
    """Reads every split once and returns the evaluation's figures, and pictures for the report."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "load"):
        loaded = load(saved_model, dataset.image_shape, len(dataset.class_names))
        classify = classifier(loaded, str(saved_model))
        comparison = compare(champion, dataset) if champion else None
        progress.made()
    robustness, mistakes, roc = Robustness(classify), Mistakes(), RocTally()
    on_test: list[Observer] = [robustness, mistakes, roc]
    on_test += [comparison] if comparison else []
    splits = {}
    for split in SPLITS:
        tally = Tally(dataset.class_names)
        observers: list[Observer] = [tally, outputs]
        observers += on_test if split == "test" else []
        with _timed(seconds, split):
            for batch in score(classify, split, read(dataset, examples, split)):
                for observer in observers:
                    observer.add(batch)
                progress.made()
        splits[split] = tally.result()
    with _timed(seconds, "serving"):
        serving = check(loaded, classify, outputs.samples)
    measured = Measured(
        seconds=seconds,
        serving=serving,
        splits=splits,
        robustness=robustness.result(),
        champion=comparison.result() if comparison else None,
        mistakes=_named(mistakes.result(), dataset, examples),
        roc=roc.result(),
    )
    return measured, Pictures(mistakes.images, *robustness.samples)


def _named(mistakes: list[Mistake], dataset: Dataset, examples: Path) -> list[Mistake]:
    """Says of mistakes where they were read."""
    named = places.find(dataset, examples, "test", [mistake.index for mistake in mistakes])
    pairs = zip(mistakes, named, strict=True)
    return [mistake.model_copy(update={"where": where}) for mistake, where in pairs]


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[part] = round(time.perf_counter() - start, 3)


def _check_classes(dataset: Dataset, model: Model) -> None:
    """Checks that the labels of the data set mean what the model's classes do.

    Raises:
        StepError: They do not.
    """
    if difference := dataset.differs_in_classes(model.class_names):
        raise StepError(f"the model's classes are not the data set's: {difference}; train it anew")


def _warnings(dataset: Dataset, model: Model, test: SplitEvaluation) -> list[str]:
    warnings = []
    if dataset.fingerprint != model.dataset_fingerprint:
        warnings.append(
            f"the model was trained on the data set {model.dataset_fingerprint[:12]} but scored on "
            f"{dataset.fingerprint[:12]}: what it is scored on here may have been trained on there"
        )
    answered = [
        one.name
        for one, answers in zip(test.classes, zip(*test.confusion, strict=True), strict=True)
        if any(answers)
    ]
    if len(answered) == 1:
        warnings.append(f"the model answers {answered[0]} to every test example")
    elif test.never_recognized:
        warnings.append(
            f"no test example of {enumerate_names(test.never_recognized)} is recognized"
        )
    return warnings


def _log(evaluation: Evaluation) -> None:
    for split, result in evaluation.splits.items():
        score = Score(examples=result.examples, correct=result.correct)
        print(f"{split.capitalize()} Data Eval:\n  {score}")
    for verdict in evaluation.verdicts:
        log_line(f"  {verdict}")
    for warning in evaluation.warnings:
        log_line(f"warning: {warning}")
    report_outcome(
        Outcome(
            step="evaluate",
            result="blessed" if evaluation.blessed else "not blessed",
            message=summary(evaluation),
            precision_at_1=evaluation.splits["test"].precision_at_1,
        )
    )


def summary(evaluation: Evaluation) -> str:
    """Returns the decision and why, in one line."""
    test = evaluation.splits["test"]
    failed = [verdict.reason for verdict in evaluation.verdicts if not verdict.passed]
    if failed:
        more = f" (and {len(failed) - 1} more)" if failed[1:] else ""
        return f"Not blessed: {failed[0]}{more}"
    return (
        f"Blessed: all {len(evaluation.verdicts)} rules hold, test precision@1 "
        f"{test.precision_at_1:.4f} ({test.interval[0]:.4f} to {test.interval[1]:.4f})"
    )
