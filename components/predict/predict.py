"""Prediction: from a source and a published model to what it says of every image."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyarrow import fs

from components.config import Predict
from components.jobs.output import WORK, atomic_output, make_directory
from components.jobs.ranges import Plan, first_rejected, total_counts
from components.jobs.run import run
from components.predict.incoming import is_empty, open_images, which_images
from components.predict.published import PublishedModel
from components.predict.work import LEAST_SURE, AnswersReport, WriteAnswers
from components.shared.addresses import redacted
from components.shared.days import DATE, days_until
from components.shared.errors import log_line
from components.shared.outcome import Outcome, report_outcome
from components.shared.predictions import Labelled, Predictions, Reference
from components.shared.profile import Profile
from components.sources import filesystem
from components.sources.source import Source


def predict(
    config: Predict, output: Path | str, beam_arguments: Sequence[str] = ()
) -> Predictions | None:
    """Has a published model say of every image of a source what it shows.

    Args:
        config: Which images, and which model.
        output: The directory to write, also in a bucket; it appears whole or not at all.
        beam_arguments: Beam's own flags, handed to the runner unchanged.

    Returns:
        The manifest, also in ``output``; None where there are no images, and then no output.

    Raises:
        StepError: There is no such model, the source is unusable or not for this model, or more
            records than allowed are.
    """
    model = PublishedModel.find(config)
    if is_empty(config):
        nothing = f"Nothing new: no images in {which_images(config)}"
        report_outcome(
            Outcome(
                step="predict", result="nothing new", message=nothing, source=which_images(config)
            )
        )
        return None
    with atomic_output(str(output), Predictions.FILE) as directory:
        images = open_images(
            config,
            make_directory(directory, f"{WORK}/source"),
            model.described.image_shape,
            model.described.class_names,
        )
        plan = Plan.of(images.source, directory, config)
        reports = run(plan, WriteAnswers(plan, images, model), beam_arguments)
        found = _predictions(config, images.source, model, reports)
        _write(directory, found, model)
    _log(found)
    return found


def _predictions(
    config: Predict, source: Source, model: PublishedModel, reports: Sequence[AnswersReport]
) -> Predictions:
    profile = Profile.total([report.profile for report in reports if report.profile])
    names = model.described.class_names
    least_sure = [image for report in reports for image in report.least_sure]
    return Predictions(
        source=which_images(config),
        source_fingerprint=source.fingerprint,
        registry=redacted(config.destination),
        model_name=config.model_name,
        version=model.version,
        model_sha256=model.sha256,
        class_names=list(names),
        metrics=total_counts(reports),
        rejected=first_rejected(reports),
        files=[file for report in reports for file in report.files.values()],
        class_shares=dict(zip(names, profile.class_shares, strict=True)),
        mean_confidence=profile.mean_confidence,
        labelled=_labelled(reports),
        least_sure=sorted(least_sure, key=lambda image: image.probability)[:LEAST_SURE],
        profile=profile,
        undone=_undone(reports),
        options=_options(config),
    )


def _options(config: Predict) -> dict[str, Any]:
    """The options of the command that reads the same images again: a day is named, and not today.

    The cache is a place of this machine, and registry and model are kept anyway.
    """
    options = {"source": config.source, **Predict.changed(asdict(config))}
    if DATE in config.source:
        options["until"] = str(days_until(config.span, config.until)[1])
    return {
        name: redacted(value) if isinstance(value, str) else value
        for name, value in options.items()
        if name not in ("destination", "model_name", "cache")
    }


def _undone(reports: Sequence[AnswersReport]) -> dict[str, Profile]:
    causes: dict[str, list[Profile]] = {}
    for report in reports:
        for cause, profile in report.undone.items():
            causes.setdefault(cause, []).append(profile)
    return {cause: Profile.total(profiles) for cause, profiles in causes.items()}


def _labelled(reports: Sequence[AnswersReport]) -> Labelled | None:
    images = sum(report.labelled for report in reports)
    return Labelled.of(sum(report.correct for report in reports), images)


def _write(directory: fs.FileSystem, found: Predictions, model: PublishedModel) -> None:
    if model.reference:
        filesystem.write(directory, Reference.FILE, model.reference)
    filesystem.write(directory, Predictions.FILE, found.text.encode())


def _log(found: Predictions) -> None:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in found.class_shares.items())
    log_line(f"Classes: {shares}; mean confidence {found.mean_confidence:.4f}")
    if found.labelled:
        low, high = found.labelled.interval
        log_line(
            f"Precision@1 where labels came, {found.labelled.images:,} images: "
            f"{found.labelled.precision_at_1:.4f} ({low:.4f} to {high:.4f})"
        )
    if rejected := found.metrics["rejected"]:
        log_line(f"Rejected {rejected:,} records, see rejected/")
    message = (
        f"Predicted {found.profile.images:,} images of {found.source} with version "
        f"{found.version} of {found.model_name}"
    )
    report_outcome(
        Outcome(
            step="predict",
            result="predicted",
            message=message,
            version=found.version,
            source=found.source,
        )
    )
