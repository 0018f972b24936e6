"""From the reports of the workers to the figures of the whole dataset, and what is odd in them."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.ingest import digests
from components.ingest.shards import SplitsReport, digests_file
from components.jobs.ranges import Plan, damaged
from components.shared.manifests import SPLITS, Anomaly, Dataset, Split

NAMED = 12  # classes listed in a message


Reports = Sequence[SplitsReport]


def splits_and_duplicates(plan: Plan, reports: Reports) -> tuple[dict[str, Split], dict[str, int]]:
    """Adds up the reports of all ranges.

    Returns:
        The splits by name, and how many distinct images two of them share, as "train,test".
    """
    duplicates = _count_duplicates(plan, reports)
    splits = {
        name: _split(plan, reports, name, int(duplicates[index, index]))
        for index, name in enumerate(SPLITS)
    }
    pairs = itertools.combinations(range(len(SPLITS)), 2)
    return splits, {f"{SPLITS[a]},{SPLITS[b]}": int(duplicates[a, b]) for a, b in pairs}


def _split(plan: Plan, reports: Reports, name: str, duplicates: int) -> Split:
    shards = [report.files[name] for report in reports if name in report.files]
    figures = [report.figures[name] for report in reports if name in report.figures]
    records = sum(shard.records for shard in shards)
    pixels = max(1, records * math.prod(plan.source.image_shape))
    mean = sum(some.pixel_sum for some in figures) / pixels
    # Whole numbers as long as possible: figures that do not depend on how the source was cut.
    square = sum(some.pixel_square_sum for some in figures) / pixels
    return Split(
        records=records,
        rejected=sum(some.rejected for some in figures),
        wrong_size=sum(some.wrong_size for some in figures),
        labels=[
            sum(some.labels[label] for some in figures)
            for label in range(len(plan.source.class_names))
        ],
        pixel_mean=mean,
        pixel_stddev=math.sqrt(max(0.0, square - mean * mean)),
        duplicates=duplicates,
        shards=shards,
    )


def _count_duplicates(plan: Plan, reports: Reports) -> npt.NDArray[np.int64]:
    """Counts duplicates bucket by bucket, so that memory does not grow with the source."""
    counts = np.zeros((len(SPLITS), len(SPLITS)), np.int64)
    for bucket in range(len(reports[0].buckets)):
        hashes, splits = [], []
        for part, report in zip(plan.ranges, reports, strict=True):
            before = sum(map(sum, report.buckets[:bucket]))
            sizes = report.buckets[bucket]
            with plan.output.open_input_file(digests_file(part)) as file:
                data = file.read_at(sum(sizes) * digests.SIZE, before * digests.SIZE)
            if len(data) != sum(sizes) * digests.SIZE:
                raise damaged(digests_file(part))
            hashes.append(np.frombuffer(data, "<u8"))
            splits.append(np.repeat(np.arange(len(SPLITS)), sizes))
        counts += digests.count_duplicates(np.concatenate(hashes), np.concatenate(splits))
    return counts


def find_anomalies(dataset: Dataset, previous: Dataset | None, max_drift: float) -> list[Anomaly]:
    """Lists what a person should look at before training.

    Args:
        dataset: The manifest, without anomalies.
        previous: That of an earlier run, to compare label shares with.
        max_drift: The largest change of a label's share, 0 to 1, that is not reported.
    """
    found = []
    if previous and previous.class_names != dataset.class_names:
        was, now = previous.class_names, dataset.class_names
        message = (
            f"{len(now)} classes ({_list(now)}), the previous dataset had {len(was)} ({_list(was)})"
        )
        found.append(Anomaly(kind="other classes", split="train", message=message))
        previous = None
    for name, split in dataset.splits.items():
        found += _of_split(name, split, dataset.class_names)
        if previous and split.records and previous.splits[name].records:
            found += _drift(name, split, previous.splits[name], max_drift, dataset.class_names)
    for pair, count in dataset.duplicates.items():
        if count:
            one, other = pair.split(",")
            message = f"{count:,} images are in {one} and in {other}"
            found.append(Anomaly(kind="leak", split=one, message=message))
    return found


def _of_split(name: str, split: Split, class_names: list[str]) -> list[Anomaly]:
    found = []
    if not split.records:
        found.append(Anomaly(kind="empty split", split=name, message="no records"))
    elif missing := [c for c, count in zip(class_names, split.labels, strict=True) if not count]:
        message = f"no record with label {_list(missing)}"
        found.append(Anomaly(kind="missing class", split=name, message=message))
    if split.wrong_size:
        message = f"{split.wrong_size:,} images of the wrong size were rejected"
        found.append(Anomaly(kind="wrong size", split=name, message=message))
    return found


def _drift(
    name: str, split: Split, previous: Split, max_drift: float, class_names: list[str]
) -> list[Anomaly]:
    """Compares label shares by their largest difference.

    Source: the L-infinity distance of TensorFlow Data Validation,
    https://www.tensorflow.org/tfx/data_validation/get_started
    """
    now, then = (np.divide(some.labels, some.records) for some in (split, previous))
    label = int(np.abs(now - then).argmax())
    change = float(now[label] - then[label])
    if abs(change) <= max_drift:
        return []
    message = (
        f"label {class_names[label]} is {now[label]:.1%} of the records, was {then[label]:.1%} "
        f"in the previous dataset"
    )
    return [Anomaly(kind="label drift", split=name, message=message)]


def _list(names: list[str]) -> str:
    """Names classes, the first ones of many."""
    more = f", … {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
