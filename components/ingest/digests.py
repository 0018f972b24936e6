"""A digest for every image: what decides its split, and finds its duplicates."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from components.shared.manifests import SPLITS

Digests = npt.NDArray[np.uint64]

SIZE = 8  # bytes; two of ten million images share a digest by chance once in 400,000 times
# Digests held in memory together when duplicates are counted; there are as many passes as needed.
AT_ONCE = 1 << 20


def digest(contents: Sequence[bytes]) -> Digests:
    """Digests contents, such as the pixels of images: uint64 ``[n]``."""
    joined = b"".join([blake2b(content, digest_size=SIZE).digest() for content in contents])
    return np.frombuffer(joined, "<u8")


def split_of(digests: Digests, validation_share: float, test_share: float) -> npt.NDArray[np.intp]:
    """Says for each record, by its content alone, to which split it belongs.

    So a record stays where it is when others are added, and equal images stay together.

    Returns:
        Indices into SPLITS ``[n]``.
    """
    place = digests / 2.0**64
    validation, test = SPLITS.index("validation"), SPLITS.index("test")
    return np.select(
        [place < test_share, place < test_share + validation_share],
        [test, validation],
        SPLITS.index("train"),
    )


def buckets(records: int) -> int:
    """How many passes it takes to count the duplicates among so many records."""
    return max(1, -(-records // AT_ONCE))


def sort_into(digests: Digests, count: int) -> list[Digests]:
    """Sorts digests into buckets: equal ones always end in the same one."""
    bucket = digests % np.uint64(count)
    return [digests[bucket == index] for index in range(count)]


def count_duplicates(digests: Digests, splits: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Counts duplicates among records.

    Args:
        digests: uint64 ``[n]``.
        splits: Indices into SPLITS ``[n]``.

    Returns:
        int64 ``[3, 3]``: on the diagonal, records of a split that repeat an earlier one of it;
        elsewhere, distinct images that are in both splits.
    """
    distinct = [np.unique(digests[splits == split]) for split in range(len(SPLITS))]
    counts = np.zeros((len(SPLITS), len(SPLITS)), np.int64)
    for one, of_one in enumerate(distinct):
        counts[one, one] = np.count_nonzero(splits == one) - len(of_one)
        for other in range(one):
            common = np.intersect1d(of_one, distinct[other], assume_unique=True)
            counts[one, other] = counts[other, one] = len(common)
    return counts
