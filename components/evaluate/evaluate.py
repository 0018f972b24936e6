"""Evaluation: from a SavedModel and a dataset to figures and a decision."""

from pathlib import Path

from components.evaluate import predictions, report, samples
from components.evaluate.blessing import judge
from components.evaluate.figures import figures, load_signature, predict
from components.shared.manifests import SPLITS, Dataset, Evaluation, Model, Score
from components.shared.storage import sha256_of_directory, whole_directory
from pipeline.config import Evaluate


def evaluate(config: Evaluate, examples: Path, model: Path, output: Path) -> Evaluation:
    """Scores a SavedModel on all splits and decides whether it may go out.

    Args:
        config: The rules.
        examples: The directory that ingest wrote.
        model: The directory that train wrote.
        output: The evaluation directory; it appears whole or not at all.

    Returns:
        The manifest, also in ``output``.

    Raises:
        StepError: The model or the dataset is unusable.
    """
    dataset = Dataset.read(examples)
    Model.read(model)
    signature = load_signature(model / "saved_model")
    said = {split: predict(signature, dataset.files(examples, split)) for split in SPLITS}
    splits = {split: figures(predicted) for split, predicted in said.items()}
    evaluation = Evaluation(
        splits=splits,
        model_sha256=sha256_of_directory(model / "saved_model"),
        dataset_fingerprint=dataset.fingerprint,
        verdicts=judge(config, splits),
    )
    with whole_directory(output, Evaluation.FILE) as directory:
        predictions.write(directory / predictions.FILE, said)
        samples.write(directory / samples.FILE, dataset.files(examples, "test"), said["test"])
        report.write(directory / report.FILE, evaluation)
        evaluation.write(directory)
    _tell(evaluation)
    return evaluation


def _tell(evaluation: Evaluation) -> None:
    for split, result in evaluation.splits.items():
        score = Score(examples=result.examples, correct=result.correct)
        print(f"{split.capitalize()} Data Eval:\n  {score}")
    reasons = "; ".join(verdict.reason for verdict in evaluation.verdicts)
    print(f"{'Blessed' if evaluation.blessed else 'Not blessed'}: {reasons}", flush=True)
