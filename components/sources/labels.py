"""What the classes of a source are called, and which label of the source stands for which."""

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
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
_WHOLE = re.compile(r"(-?\d{1,18})(\.0*)?", re.ASCII)
# A label as it stands in a file: a text, one or several numbers, or none.
StoredLabel = str | npt.NDArray | None
# What a table of classes calls its column of names.
_NAME_COLUMNS = ("name", "class_name", "class", "label_name", "label", "char", "character", "text")
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
                f"label {records.labels[index]}, expected {self.values[0]} to {self.values[-1]}; "
                "--class-names names others",
                records.images[index].tobytes(),
                int(records.labels[index]),
            )
            for index in np.flatnonzero(~known)
        ]
        unreadable = sorted([*records.unreadable, *unknown], key=lambda record: record.position)
        return Records(records.images[known], found[known], records.positions[known], unreadable)

    def places(
        self, found: Sequence[StoredLabel] | npt.NDArray
    ) -> tuple[npt.NDArray[np.int64], list[str]]:
        """Decides what labels mean, in every format: the one place that does.

        A whole number is what it says, also written as 7.0; a text is that or a class's name; of
        several numbers, all 0 but for a single 1, the place of the 1 (one-hot). Anything else is
        not a label: of several numbers none is taken for another.

        Args:
            found: As they stand in a file, one by one or in an array of any numbers ``[n, …]``.

        Returns:
            The labels, and for each the reason why it is not one, or an empty text; no reasons at
            all where every one is.
        """
        if isinstance(found, np.ndarray):
            found = found.reshape(len(found), prod(found.shape[1:]))
            numbers = _numbers(found)
            if numbers is not None:
                return numbers, []
        names = dict(zip(self.names, self.values or range(len(self.names)), strict=True))
        read = [self._place(label, names) for label in found]
        return np.array([number for number, _ in read], np.int64), [reason for _, reason in read]

    def _place(self, label: StoredLabel, names: dict[str, int]) -> tuple[int, str]:
        if isinstance(label, np.ndarray):
            numbers = _numbers(label.reshape(1, label.size))
            if numbers is not None:
                return int(numbers[0]), ""
            if label.size == 1:
                return -1, f"label {label.ravel()[0]}, expected a class's name or number"
            return -1, _several(label.ravel())
        text = (label or "").strip()
        if not text:
            return -1, "no label"
        number = _WHOLE.fullmatch(text)
        if number:
            return int(number[1]), ""
        if text in names:
            return names[text], ""
        return -1, f"label {text[:40]!r}, expected a class's name or number"


def _numbers(rows: npt.NDArray) -> npt.NDArray[np.int64] | None:
    """The labels in rows ``[n, k]`` of numbers, if every row is one."""
    if rows.dtype.kind not in "iubf" or not rows.shape[1]:
        return None
    if rows.shape[1] > 1:
        ones = rows == 1
        return ones.argmax(1) if (ones | (rows == 0)).all() and (ones.sum(1) == 1).all() else None
    values = rows[:, 0]
    if values.dtype.kind == "f" and not (np.abs(values) < 1 << 53).all():
        return None
    numbers = values.astype(np.int64)
    return numbers if (numbers == values).all() else None


def _several(values: npt.NDArray) -> str:
    """Why several numbers are not a label."""
    shown = " ".join(map(str, values[:6].tolist())) + (" …" if len(values) > 6 else "")
    return f"{len(values)} numbers as a label ({shown}), expected one, or a single 1 among 0s"


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
    except (KeyError, TypeError, ValueError, RecursionError):
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
        text = Path(given).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise StepError(
            f"--class-names {given}: {reason}; expected names with commas between, a number of "
            "classes, or a file with one name a line"
        ) from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and all(_MAPPING_LINE.fullmatch(line) for line in lines):
        return of_mapping(text, given)
    if lines and lines[0][0] in "[{":
        return _of_json(text, given)
    for separator in ",\t;":
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
        if rows and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            return _of_table(rows, given)
    return Classes(tuple(lines))


def _of_json(text: str, given: str) -> Classes:
    """Names in a JSON list, or by their labels: ``{"0": "cat"}`` or ``{"cat": 0}``."""
    try:
        found = json.loads(text)
        if isinstance(found, dict):
            by_name = all(isinstance(value, int) for value in found.values())
            items = ((v, k) if by_name else (k, v) for k, v in found.items())
            return _numbered([(str(label), str(name)) for label, name in items], given)
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return Classes(tuple(found))
    except (ValueError, RecursionError):
        pass
    raise StepError(
        f'--class-names {given}: expected a JSON list of names, or names by label: {{"0": "cat"}}'
    )


def _of_table(rows: list[list[str]], given: str) -> Classes:
    """Names in a table: a column of labels, where there is one, and one of names, under a header.

    Raises:
        StepError: It does not say which column has the names.
    """
    header: list[str] = []
    first = [cell.lower() for cell in rows[0]]
    numbers = any(map(str.isdecimal, first)), any(map(str.isdecimal, rows[-1]))
    if numbers == (False, True) or (numbers == (False, False) and set(first) & set(_NAME_COLUMNS)):
        header, rows = first, rows[1:]
    columns = list(zip(*rows, strict=True))
    labels = [n for n, column in enumerate(columns) if all(map(str.isdecimal, column))]
    names = [n for n, column in enumerate(columns) if n not in labels]
    named = [header.index(name) for name in _NAME_COLUMNS if name in header]
    chosen = next((n for n in named if n in names), names[0] if len(names) == 1 else None)
    if chosen is None or len(set(columns[chosen])) < len(rows):
        raise StepError(
            f"--class-names {given}: a table of {len(columns)} columns, none of which is called "
            "name; expected a name a line, or labels and names"
        )
    values = columns[labels[0]] if labels else tuple(map(str, range(len(rows))))
    return _numbered(list(zip(values, columns[chosen], strict=True)), given)


def _numbered(pairs: list[tuple[str, str]], given: str) -> Classes:
    """Classes of labels and names, in the order of the labels."""
    if not all(re.fullmatch(r"\d{1,9}", label, re.ASCII) for label, _ in pairs):
        raise StepError(f"--class-names {given}: expected a whole number for each name")
    numbers = {int(label): name for label, name in pairs}
    if len(numbers) < len(pairs):
        raise StepError(f"--class-names {given}: two names for one label; expected one each")
    values = tuple(sorted(numbers))
    names = tuple(numbers[value] for value in values)
    return Classes(names, () if values == tuple(range(len(values))) else values)
