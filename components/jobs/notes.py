"""What workers note of the ranges that they came to: the same however often one is read."""

import base64
import json
from collections.abc import Sequence
from typing import TypeVar

from pyarrow import fs
from pydantic import BaseModel, ValidationError

from components.jobs.output import WORK
from components.shared.errors import StepError
from components.shared.manifests import Rejected
from components.sources import filesystem
from components.sources.source import Range, Records, Source, Unusable, where

STOP = f"{WORK}/stop"
NAMED = 20  # rejected records that are named in a note; rejected/ has all of them


class Note(BaseModel):
    """What a worker notes about a range, next to what it made of it."""

    read: int = 0
    rejected: list[Rejected] = []  # the first ones
    unusable: int = 0  # how many there are
    error: str = ""


AnyNote = TypeVar("AnyNote", bound=Note)


def read_range(source: Source, part: Range, output: fs.FileSystem) -> Records | None:
    """Reads a range for a worker.

    Returns:
        Its records; None where the job is to stop, or the range could not be read: then a note
        says so. Raised, the error would come through some runner's own wrapping, after its retries.
    """
    if output.get_file_info(STOP).is_file:
        return None
    try:
        return source.read(part)
    except StepError as error:
        stop(output)
        write_note(output, part, Note(error=str(error)))
        return None


def stop(output: fs.FileSystem) -> None:
    """Has the workers leave what they have not begun."""
    filesystem.write(output, STOP, b"")


def write_note(output: fs.FileSystem, part: Range, note: Note) -> None:
    """Writes what is noted of a range."""
    filesystem.write(output, _file(part), note.model_dump_json().encode())


def read_notes(
    output: fs.FileSystem, ranges: Sequence[Range], kind: type[AnyNote]
) -> list[AnyNote]:
    """Reads the notes of the ranges that workers came to, in order.

    Raises:
        StepError: A range could not be read; the first of them. Or a note is damaged.
    """
    notes = []
    for part in ranges:
        try:
            note = kind.model_validate_json(filesystem.read(output, _file(part)))
        except FileNotFoundError:
            continue
        except ValidationError:
            raise damaged(_file(part)) from None
        if note.error:
            raise StepError(note.error)
        notes.append(note)
    return notes


def damaged(file: str) -> StepError:
    """The error of a file that a worker left and that has changed since."""
    return StepError(f"{file}: not as a worker wrote it; check the disk, and run the step again")


def check(notes: Sequence[Note], records: int, written: int, max_rejected: float) -> None:
    """Checks that not too many records are unusable, and that none is unaccounted for.

    Args:
        notes: Of all ranges that workers came to.
        records: In all ranges.
        written: Of these.
        max_rejected: Share of the records, 0 to 1, that may be unusable.

    Raises:
        StepError: There are more; names the first.
    """
    rejected = sum(note.unusable for note in notes)
    if rejected > max_rejected * records:
        named = [record for note in notes for record in note.rejected][:3]
        first = "; ".join(f"{record.where}: {record.reason}" for record in named)
        raise StepError(
            f"{first}: {rejected:,} of {sum(note.read for note in notes):,} records unusable, "
            f"expected at most the share {max_rejected:g} of --max-rejected"
        )
    read = sum(note.read for note in notes)
    if not records == read == written + rejected:
        raise AssertionError(
            f"{records} records in the source, {read} read, {written} written, {rejected} rejected"
        )


def write_rejected(
    source: Source, part: Range, output: fs.FileSystem, rejected: Sequence[tuple[str, Unusable]]
) -> list[Rejected]:
    """Writes a range's unusable records, each with its split, a JSON object a line.

    Returns:
        The first of them.
    """
    if not rejected:
        return []
    origin = source.origin(part)
    named = [
        Rejected(split=split, where=where(origin, part, record.position), reason=record.reason)
        for split, record in rejected
    ]
    lines = [
        json.dumps(
            {
                **name.model_dump(),
                "label": record.label,
                "image": base64.b64encode(record.image).decode(),
            }
        )
        for name, (_, record) in zip(named, rejected, strict=True)
    ]
    filesystem.write(output, part.rejected_file, "".join(f"{line}\n" for line in lines).encode())
    return named[:NAMED]


def _file(part: Range) -> str:
    return f"{WORK}/{part.index:06d}.json"
