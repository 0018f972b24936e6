"""Which labels belong to which images, by the names of their files."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from components.shared.errors import StepError, listed
from components.sources.splits import split_of

IMAGES, LABELS = "images", "labels"
# The words by which names tell images from labels, or say nothing else than the format.
_OF_ROLE = {
    **dict.fromkeys(("images", "image", "imgs", "x", "data", "pixels"), IMAGES),
    **dict.fromkeys(("labels", "label", "y", "targets", "target"), LABELS),
}
_FORMAT = re.compile(r"idx\d|ubyte|int|npy|npz|gz")


@dataclass(frozen=True)
class Candidate:
    """A file or array of images or of labels."""

    place: int  # among those given
    name: str  # what the user calls it, for messages
    relpath: str  # the same, in the directory that the source names
    role: str


@dataclass(frozen=True)
class Pair:
    """Images and their labels, by their places among what was given."""

    images: int
    labels: int | None
    split: str | None


def match(named: Sequence[Candidate], labelled: bool) -> list[Pair]:
    """Finds the labels to each file of images: the ones whose name has the same other words.

    Where there is one file of each, they belong together whatever they are called.

    Raises:
        StepError: Images have no labels or several, or labels no images.
    """
    of_key: dict[tuple[str, ...], dict[str, list[Candidate]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for one in named:
        of_key[_key(one.relpath)][one.role].append(one)
    images = [one for one in named if one.role == IMAGES]
    labels = [one for one in named if one.role == LABELS]
    if not labelled:
        return [_pair(one, None) for one in images]
    if len(images) == len(labels) == 1:
        return [_pair(images[0], labels[0])]
    pairs = []
    for found in of_key.values():
        if len(found[IMAGES]) != 1 or len(found[LABELS]) != 1:
            raise StepError(_unmatched(found, named))
        pairs.append(_pair(found[IMAGES][0], found[LABELS][0]))
    return pairs


def words(text: str) -> list[str]:
    """The words of a name, in lower case, without those of the format."""
    return [word for word in re.findall("[a-z0-9]+", text.lower()) if not _FORMAT.fullmatch(word)]


def role_of(relpath: str) -> str | None:
    """Whether a name says images or labels."""
    roles = {_OF_ROLE[word] for word in words(relpath.rpartition("/")[2]) if word in _OF_ROLE}
    return roles.pop() if len(roles) == 1 else None


def data_set_of(relpath: str) -> str:
    """The words of a name, with hyphens, that say neither role nor split nor format."""
    words = _key(relpath)[-1].split("-")
    return "-".join(word for word in words if not split_of(word))


def _key(relpath: str) -> tuple[str, ...]:
    """What a name says beside its role, part by part of its path."""
    parts = ("-".join(w for w in words(part) if w not in _OF_ROLE) for part in relpath.split("/"))
    return tuple(parts)


def _pair(images: Candidate, labels: Candidate | None) -> Pair:
    split = split_of(images.relpath) or (split_of(labels.relpath) if labels else None)
    return Pair(images.place, labels.place if labels else None, split)


def _unmatched(found: dict[str, list[Candidate]], named: Sequence[Candidate]) -> str:
    for role, other in ((IMAGES, LABELS), (LABELS, IMAGES)):
        here = [one.name for one in found[role]]
        if len(here) > 1:
            return f"{' and '.join(here[:2])}: both are {role} of one name; name one by a pattern"
        if here and not found[other]:
            first = found[role][0]
            of_other = [one.relpath for one in named if one.role == other]
            there = f"there is {listed(of_other)}" if of_other else "there is no other file"
            return f"{here[0]}: no {other} for it, expected {_counterpart(first)}; {there}"
    raise AssertionError(found)


def _counterpart(one: Candidate) -> str:
    """The name that the missing one of a pair should have."""
    name = one.relpath.rpartition("/")[2]
    there, here = ("images", "labels") if one.role == LABELS else ("labels", "images")
    name = name.replace(here, there)
    return name.replace("idx3", "idx1") if one.role == IMAGES else name.replace("idx1", "idx3")
