"""What is odd about a dataset, though each of its records is fine."""

import numpy as np

from components.shared.manifests import Anomaly, Dataset, Split

NAMED = 12  # classes listed in a message


def find(dataset: Dataset, previous: Dataset | None, max_drift: float) -> list[Anomaly]:
    """Lists what a person should look at before training.

    Args:
        dataset: The manifest, without anomalies.
        previous: That of an earlier run, to tell drift from.
        max_drift: The largest change of a label's share, 0 to 1, that is not worth a word.
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
