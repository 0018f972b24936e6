"""What the classes of a source are called, and which label of the source stands for which."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.shared.errors import StepError, log_line
from components.sources.images import Records, Unusable

DIGITS = tuple("0123456789")
# Source: https://github.com/zalandoresearch/fashion-mnist, "Labels".
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_FASHION_ADDRESS = re.compile("fashion[-_ ]?mnist", re.IGNORECASE)
# A line of EMNIST's mapping files: a label, and the codes of the characters it stands for.
_MAPPING_LINE = re.compile(r"(\d{1,9})((?: \d{1,7})+)")


@dataclass(frozen=True)
class Classes:
    """The classes of a source."""

    names: tuple[str, ...]
    values: tuple[int, ...] = ()  # the source's label of each; empty: 0, 1, 2, …

    def numbered(self, records: Records) -> Records:
        """Puts a class's place among the names for the source's label."""
        if not self.values:
            return records
        places = {value: place for place, value in enumerate(self.values)}
        found = np.array([places.get(label, -1) for label in records.labels.tolist()], np.int64)
        known = found >= 0
        unknown = [
            Unusable(
                int(records.positions[index]),
                f"label {records.labels[index]}, expected {self.values[0]} to {self.values[-1]}",
                records.images[index].tobytes(),
                int(records.labels[index]),
            )
            for index in np.flatnonzero(~known)
        ]
        unreadable = sorted([*records.unreadable, *unknown], key=lambda record: record.position)
        return Records(records.images[known], found[known], records.positions[known], unreadable)

    def places(self, texts: Iterable[str | None]) -> tuple[npt.NDArray[np.int64], list[str]]:
        """Puts numbers for labels that are texts: a whole number as it is, or a class's name.

        Returns:
            The labels, and for each the reason why it is none, or an empty text.
        """
        names = {name: place for place, name in enumerate(self.names)}
        labels, reasons = [], []
        for text in texts:
            number = re.fullmatch(r"\s*-?\d{1,18}\s*", text or "", re.ASCII)
            label = int(number[0]) if number else names.get((text or "").strip())
            labels.append(-1 if label is None else label)
            unknown = f"label {text[:40]!r}, expected a class's name or number" if text else ""
            reasons.append("" if label is not None else unknown or "no label")
        return np.array(labels, np.int64), reasons


def choose(given: str, address: str, own: Classes | None = None) -> Classes:
    """Chooses the names: those given, the source's own, or what its address says; else digits.

    Args:
        given: ``--class-names``: names with commas between, a number of classes, the name of a
            file with one name a line or of an EMNIST mapping, or fashion-mnist.
        address: Of the source.
        own: Those that the source itself names.

    Raises:
        StepError: The names are fewer than two, or not as many as the source's own.
    """
    if given:
        chosen = _given(given)
        if own and len(own.names) != len(chosen.names):
            raise StepError(
                f"--class-names {given}: {len(chosen.names)} names, expected the "
                f"{len(own.names)} of {address}: {', '.join(own.names[:12])}"
            )
        return replace(own, names=chosen.names) if own else chosen
    if own:
        return own
    if _FASHION_ADDRESS.search(address):
        log_line("Classes named as Fashion-MNIST's, after the address; --class-names names others")
        return Classes(FASHION)
    return Classes(DIGITS)


def of_mapping(text: str, name: str) -> Classes:
    """Reads one of EMNIST's mapping files.

    Raises:
        StepError: This is not one.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [_MAPPING_LINE.fullmatch(line) for line in lines]
    if not all(found) or not found:
        raise StepError(f"{name}: expected lines of a label and character codes, as 0 48")
    try:
        pairs = sorted(
            (int(m[1]), "".join(chr(int(code)) for code in m[2].split())) for m in found if m
        )
    except (ValueError, OverflowError):
        raise StepError(f"{name}: a code is no character's; expected lines as 0 48") from None
    values = tuple(value for value, _ in pairs)
    names = tuple(text for _, text in pairs)
    return Classes(names, () if values == tuple(range(len(values))) else values)


def of_huggingface(metadata: dict[bytes, bytes] | None, column: str) -> Classes | None:
    """The names of a ClassLabel in the metadata that Hugging Face writes into Parquet files."""
    try:
        described = json.loads((metadata or {})[b"huggingface"])
        names = described["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return Classes(tuple(names))


def of_folders(folders: Iterable[str]) -> Classes:
    """Names classes after folders: numbers in their order, other names alphabetically."""
    found = set(folders)
    numbers = all(re.fullmatch(r"\d{1,9}", name, re.ASCII) for name in found)
    return Classes(tuple(sorted(found, key=lambda name: (int(name) if numbers else 0, name))))


def _given(given: str) -> Classes:
    if given == "fashion-mnist":
        return Classes(FASHION)
    if re.fullmatch(r"\d{1,4}", given, re.ASCII):
        return Classes(tuple(map(str, range(int(given)))))
    if "," in given:
        return Classes(tuple(name.strip() for name in given.split(",")))
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise StepError(
            f"--class-names {given}: {reason}; expected names with commas between, a number of "
            "classes, or a file with one name a line"
        ) from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and all(_MAPPING_LINE.fullmatch(line) for line in lines):
        return of_mapping(text, given)
    return Classes(tuple(lines))
