"""Labels that came after the predictions: joined to the answers by the images' hashes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from components.config import Reading
from components.jobs.ranges import Plan
from components.scoring.columns import image_hashes
from components.shared.addresses import redacted
from components.shared.errors import StepError, log_line
from components.shared.manifests import Shard
from components.shared.predictions import (
    Labelled,
    LabelledClass,
    LabelledDay,
    LaterLabels,
    Predictions,
)
from components.sources import filesystem
from components.sources.open_source import open_source
from components.sources.source import Source
from components.watch.days import Day

# What a source's labels are called and mean: as in the data trained on, where predict says nothing.
MEANING = ("class_names", "image_column", "label_column")

Places = npt.NDArray[np.int64]


class Labels(NamedTuple):
    """Labels, one of each image."""

    hashes: pa.Array  # of the images
    places: Places  # the class of each: of the model's, or behind these one that it does not have
    names: list[str]  # of all these classes
    contradicting: int  # images that have several labels, and are left out
    unusable: int  # records


def read_labels(address: str, newest: Day) -> Labels:
    """Reads labels with their images.

    Args:
        address: A source as ingest reads it. Images are read with the options that those which came
            in were read with; columns and classes are called as in the data trained on.
        newest: The day that is the newest.

    Raises:
        StepError: There are none, or images of another size.
    """
    with TemporaryDirectory() as scratch:
        unpacked = filesystem.open_directory(scratch)
        source = _open(address, newest, unpacked)
        shape = newest.found.profile.image_shape
        if source.image_shape != tuple(shape):
            theirs, ours = ("x".join(map(str, one)) for one in (source.image_shape, shape))
            raise StepError(f"{redacted(address)}: images of {theirs}, expected {ours} as came in")
        names = [*newest.found.class_names]
        names += [name for name in source.class_names if name not in names]
        return _one_each(Plan.of(source, unpacked, Reading()), names)


def _open(address: str, newest: Day, unpacked: fs.FileSystem) -> Source:
    options = Reading.select(newest.found.options)
    trained = newest.reference.options
    meant = {name: trained[name] for name in MEANING if name in trained}
    options = {**meant, **options, "source": address, "span": 0, "until": ""}
    given = options.pop("class_names", "")
    try:
        return open_source(Reading(class_names=given, **options), unpacked)
    except StepError:
        if not given:
            raise
    # Labels of some days need not have all classes, and name their own then.
    return open_source(Reading(**options), unpacked)


def _one_each(plan: Plan, names: list[str]) -> Labels:
    """Reads a source range by range, and keeps the label of each image that has one."""
    source = plan.source
    ours = np.array([*map(names.index, source.class_names), -1], np.int64)
    hashes, places = [], []
    for part in plan.ranges:
        read = source.read(part)
        known = (read.labels >= 0) & (read.labels < len(source.class_names))
        hashes.append(image_hashes(read.images[known]))
        places.append(ours[read.labels[known]])
    table = pa.table({"hash": pa.chunked_array(hashes), "place": np.concatenate(places)})
    each = table.group_by("hash").aggregate([("place", "min"), ("place", "max")])
    agree = each.filter(pc.equal(each["place_min"], each["place_max"]))
    return Labels(
        hashes=agree["hash"].combine_chunks(),
        places=agree["place_min"].to_numpy(),
        names=names,
        contradicting=len(each) - len(agree),
        unusable=plan.records - len(table),
    )


class Joined(NamedTuple):
    """A day's answers to images with labels, each image once."""

    at: Places  # which labels
    predicted: Places


def _join(day: Day, labels: Labels) -> Joined:
    at, predicted = [], []
    for file in day.found.files:
        table = _read_answers(day.directory / file.file, file)
        found = pc.index_in(table["image_hash"].combine_chunks(), labels.hashes)
        at.append(found.fill_null(-1).to_numpy().astype(np.int64))
        predicted.append(table["predicted"].to_numpy().astype(np.int64))
    every, answers = (np.concatenate([np.empty(0, np.int64), *some]) for some in (at, predicted))
    places, first = np.unique(every, return_index=True)
    return Joined(places[places >= 0], answers[first[places >= 0]])


def _read_answers(path: Path, file: Shard) -> pa.Table:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise StepError(f"{path}: not as {Predictions.FILE} says it is; predict that day anew")
    return pq.read_table(pa.BufferReader(data), columns=["image_hash", "predicted"])


def compare_labels(address: str, days: Sequence[Day]) -> LaterLabels:
    """Holds the answers of some days against labels that came later.

    Args:
        address: Of the labels.
        days: The oldest first; at least one.

    Raises:
        StepError: The labels cannot be read, or are of no image that came in.
    """
    newest = days[-1]
    labels = read_labels(address, newest)
    times, answer, version = (np.zeros(len(labels.places), np.int64) for _ in range(3))
    rows = []
    for day in days:
        joined = _join(day, labels)
        times[joined.at] += 1
        answer[joined.at], version[joined.at] = joined.predicted, day.found.version
        right = int((labels.places[joined.at] == joined.predicted).sum())
        rows.append(
            LabelledDay(
                source=day.found.source,
                version=day.found.version,
                images=day.found.profile.images,
                labelled=Labelled.of(right, len(joined.at)),
                promised=day.reference.promised,
            )
        )
    judged = version == newest.found.version
    right = judged & (answer == labels.places)
    window = Labelled.of(int(right.sum()), int(judged.sum()))
    if not window:
        raise StepError(
            f"{redacted(address)}: no label is of an image that version {newest.found.version} "
            "answered; labels are joined by the pixels, so they need the same images"
        )
    return LaterLabels(
        source=redacted(address),
        labels=len(labels.places),
        contradicting=labels.contradicting,
        unusable=labels.unusable,
        unpredicted=int((times == 0).sum()),
        repeated=int((times > 1).sum()),
        days=rows,
        window=window,
        promised=newest.reference.promised,
        classes=[
            LabelledClass(name=name, labelled=found, promised=newest.reference.promised_of(place))
            for place, name in enumerate(labels.names)
            if (found := _of_class(place, labels, judged, right))
        ],
    )


def _of_class(
    place: int, labels: Labels, judged: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]
) -> Labelled | None:
    mine = labels.places == place
    return Labelled.of(int((mine & right).sum()), int((mine & judged).sum()))


def log_labels(labels: LaterLabels) -> None:
    """Prints what came of the labels, a day a line."""
    log_line(
        f"Labels: {labels.labels:,} images of {labels.source}; left out: {labels.contradicting:,} "
        f"with several labels, {labels.unusable:,} unusable records"
    )
    log_line(
        f"  {labels.unpredicted:,} are of no image that came in, {labels.repeated:,} of images "
        "that came on several days, whose last answer counts"
    )
    for day in labels.days:
        name = f"  {day.source}, version {day.version}"
        log_line(f"{name}: {_figures(day.labelled, day.images)}")
    promised = f", promised {labels.promised.precision_at_1:.4f}" if labels.promised else ""
    log_line(f"Precision@1 of these days: {_figures(labels.window)}{promised}")


def _figures(labelled: Labelled | None, of: int = 0) -> str:
    if not labelled:
        return f"no labels, {of:,} images" if of else "no labels"
    low, high = labelled.interval
    share = f"{labelled.precision_at_1:.4f} ({low:.4f} to {high:.4f})"
    return f"{share}, {labelled.images:,}{f' of {of:,}' if of else ''} images"
