"""An index of pictures, in a file that workers read ranges of: where each lies, and its class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256

import pyarrow as pa
from pyarrow import fs

from components.shared.manifests import SPLITS
from components.sources.archives import Member
from components.sources.filesystem import writing
from components.sources.locate import File
from components.sources.split_names import split_of

BATCH = 4_096  # rows
SCHEMA = pa.schema(
    {
        "below": pa.string(),
        "label": pa.int32(),
        "place": pa.int32(),
        "size": pa.int64(),
        "offset": pa.int64(),
        "packed": pa.int64(),
        "method": pa.int32(),
        "crc": pa.int64(),
    }
)


@dataclass(frozen=True)
class Row:
    """A picture."""

    member: Member
    label: int


@dataclass(frozen=True)
class Index:
    """The index of a source's pictures."""

    filesystem: fs.FileSystem
    path: str
    files: tuple[File, ...]  # the archives; or any one of the pictures, where they lie open
    fingerprint: str  # sha256 over names, sizes and checksums

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        """Reads rows start … stop - 1."""
        with (
            self.filesystem.open_input_file(self.path) as file,
            pa.ipc.open_file(file) as index,
        ):
            for number in range(start // BATCH, -(-stop // BATCH)):
                begin = number * BATCH
                batch = index.get_batch(number)
                some = batch.slice(
                    max(start - begin, 0), min(stop - begin, BATCH) - max(start - begin, 0)
                )
                yield from map(self._row, some.to_pylist())

    def _row(self, values: dict) -> Row:
        label = values.pop("label")
        first = self.files[max(values["place"], 0)]
        if values["place"] < 0:
            path = f"{first.root}/{values['below']}"
            first = File(first.filesystem, path, first.root, values["size"])
        return Row(Member(first, **values), label)


def split_of_picture(below: str) -> str | None:
    """The split that the directories above a picture's class say."""
    return split_of("/".join(below.split("/")[:-2]))


def order(below: str) -> tuple[int, bytes]:
    """By split, and in it by a hash of the name: so every stretch has pictures of all classes."""
    split = split_of_picture(below)
    place = SPLITS.index(split) if split else len(SPLITS)
    return place, blake2b(below.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def write(
    members: Sequence[Member], labels: Sequence[int], target: fs.FileSystem, path: str
) -> Index:
    """Writes the index of some pictures, in the order given."""
    digest = sha256()
    with (
        writing(target, path) as out,
        pa.ipc.new_file(out, SCHEMA) as index,
    ):
        for begin in range(0, len(members), BATCH):
            some = members[begin : begin + BATCH]
            names = [name for name in SCHEMA.names if name != "label"]
            columns = {name: [getattr(member, name) for member in some] for name in names}
            columns["label"] = list(labels[begin : begin + BATCH])
            index.write_batch(pa.RecordBatch.from_pydict(columns, SCHEMA))
            for one in some:
                digest.update(f"{one.crc} {one.size} {one.below}\n".encode("utf-8", "replace"))
    archives = {member.place: member.archive for member in members}
    files = tuple(archives[place] for place in sorted(archives))
    return Index(target, path, files, digest.hexdigest())
