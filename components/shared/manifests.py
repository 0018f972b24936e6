"""The JSON manifests that steps hand on: what is in a directory, readable with ``cat``."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.shared.errors import StepError
from components.shared.evaluation import (
    Champion,
    Mistake,
    Roc,
    Serving,
    Slice,
    SplitEvaluation,
    Verdict,
)
from components.shared.records import MAX_CLASSES, MAX_SIDE, MIN_CLASSES
from components.shared.storage import write_text

SPLITS = ("train", "validation", "test")

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
ImageShape = tuple[Side, Side]  # pixels: height, width
ClassNames = Annotated[list[str], Field(min_length=MIN_CLASSES, max_length=MAX_CLASSES)]


class Manifest(BaseModel):
    """A manifest file: its schema, and how it is read and written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    FILE: ClassVar[str]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Reads the manifest of a directory.

        Raises:
            StepError: There is none, or it does not follow the schema.
        """
        path = Path(directory) / cls.FILE
        try:
            text = path.read_bytes()
        except OSError:
            raise StepError(
                f"{path}: not found, expected the output of an earlier step; run that step first"
            ) from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: bytes, name: str) -> Self:
        """Reads a manifest from its text.

        Raises:
            StepError: It does not follow the schema; the message starts with ``name``.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise StepError(
                f"{name}: {where or 'the file'}: {first['msg']}; write it anew with this version"
            ) from None

    @property
    def text(self) -> str:
        """The manifest's text."""
        return self.model_dump_json(indent=2) + "\n"

    def write(self, directory: Path) -> None:
        """Writes the manifest into a directory."""
        write_text(Path(directory) / self.FILE, self.text)


class Shard(BaseModel):
    """One TFRecord file."""

    file: str  # relative to the dataset's directory
    records: int
    bytes: int
    sha256: str


class Split(BaseModel):
    """One split of a dataset."""

    records: int
    rejected: int
    wrong_size: int  # rejected because the image has another size
    labels: list[int]  # records of each class
    pixel_mean: float  # grey value, 0 to 255
    pixel_stddev: float
    duplicates: int  # records whose image an earlier one of the split has too
    shards: list[Shard]


class Rejected(BaseModel):
    """A record that could not be used."""

    split: str
    where: str  # file and record number
    reason: str


class Anomaly(BaseModel):
    """Something odd about a dataset that a person should look at."""

    kind: str  # empty split, missing class, wrong size, leak, label drift, other classes
    split: str
    message: str


class Dataset(Manifest):
    """``dataset.json``: what ingest hands on."""

    FILE: ClassVar[str] = "dataset.json"

    image_shape: ImageShape
    class_names: ClassNames  # a label is a place in this list, from 0
    splits_from: str  # a sentence: what decided which split a record is in
    source: str
    source_fingerprint: str  # sha256 over what identifies the source's files
    metrics: dict[str, int]  # Beam's counters: records read, written, rejected; bytes written
    splits: dict[str, Split]
    duplicates: dict[str, int]  # distinct images that two splits share, as "train,test"
    anomalies: list[Anomaly]
    rejected: list[Rejected]  # the first ones; all are in the directory rejected/

    @property
    def fingerprint(self) -> str:
        """Identifies the records themselves: sha256 over the shards' names and sha256 sums."""
        digest = hashlib.sha256()
        for split in self.splits.values():
            for shard in split.shards:
                digest.update(f"{shard.file} {shard.sha256}\n".encode())
        return digest.hexdigest()

    def files(self, directory: Path, split: str) -> list[str]:
        """Returns the paths of a split's shards, in order."""
        return [str(Path(directory) / shard.file) for shard in self.splits[split].shards]


class Score(BaseModel):
    """How many examples of a split a model gets right."""

    examples: int
    correct: int

    @property
    def precision(self) -> float:
        """Precision@1: the share of examples whose most probable class is the label, 0 to 1."""
        return self.correct / self.examples

    def __str__(self) -> str:
        return (
            f"Num examples: {self.examples}  Num correct: {self.correct}  "
            f"Precision @ 1: {self.precision:.4f}"
        )


class Model(Manifest):
    """``model.json``: what train hands on."""

    FILE: ClassVar[str] = "model.json"

    config: dict[str, Any]
    step: int
    dataset_fingerprint: str
    versions: dict[str, str]
    scores: dict[str, Score]  # of the last evaluation during training, by split


class Evaluation(Manifest):
    """``evaluation.json``: what evaluate hands on."""

    FILE: ClassVar[str] = "evaluation.json"

    verdicts: list[Verdict]
    warnings: list[str]  # what a reader should know and no rule decides on
    model_sha256: str  # of the SavedModel that was judged
    dataset_fingerprint: str
    config: dict[str, Any]  # the rules' bounds
    versions: dict[str, str]
    seconds: dict[str, float]  # wall time of each part of the evaluation
    serving: Serving
    splits: dict[str, SplitEvaluation]
    robustness: list[Slice]  # the test split, changed
    champion: Champion | None  # None where none is published yet
    mistakes: list[Mistake]  # of the test split, the surest first
    roc: Roc  # of the test split

    @property
    def blessed(self) -> bool:
        """Whether the model may go out: every rule holds."""
        return all(verdict.passed for verdict in self.verdicts)
