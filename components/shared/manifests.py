"""The JSON manifests that steps hand on: what is in a directory, readable with ``cat``."""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from components.config import VERSION
from components.shared.code import Code
from components.shared.errors import StepError
from components.shared.evaluation import (
    Comparison,
    Mistake,
    Roc,
    Serving,
    Slice,
    SplitEvaluation,
    Verdict,
)
from components.shared.records import MAX_CLASSES, MAX_SIDE, MIN_CLASSES
from components.shared.storage import write_text

_HIGHER_FORMAT = "higher_format"
SPLITS = ("train", "validation", "test")
DIGITS = [str(digit) for digit in range(10)]  # all that release 0.1.0 knew, of 28 x 28 pixels

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
ImageShape = tuple[Side, Side]  # pixels: height, width
ClassNames = Annotated[list[str], Field(min_length=MIN_CLASSES, max_length=MAX_CLASSES)]


class Manifest(BaseModel):
    """A manifest file: its schema, and how it is read and written.

    A file outlives the release that wrote it, and a release in use meets files of the next one. So
    each carries the number of its format, which changes only where a reader of the last one would
    misread it: fields that a reader does not know are left alone, a higher format is refused by
    naming the release that reads it, and every lower one is read.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    FILE: ClassVar[str]
    FORMAT: ClassVar[int] = 1  # files without a number are of this one
    REMEDY: ClassVar[str] = "write it anew with this version"  # where a file is broken

    @computed_field  # type: ignore[prop-decorator]
    @property
    def format(self) -> int:
        """The number of the format it is written in."""
        return self.FORMAT

    @computed_field  # type: ignore[prop-decorator]
    @property
    def written_by(self) -> str:
        """The release that writes it."""
        return VERSION

    @model_validator(mode="before")
    @classmethod
    def _refuse_higher_format(cls, data: Any) -> Any:
        found = data.get("format", 1) if isinstance(data, dict) else 1
        if type(found) is not int or found < 1:
            raise ValueError(f"format {found!r}, expected a whole number from 1")
        if found > cls.FORMAT:
            release = data.get("written_by")
            newer = release if isinstance(release, str) and release.isprintable() else "not known"
            raise PydanticCustomError(
                _HIGHER_FORMAT,
                "format {found}, written by version {newer}, this is version {ours}, which reads "
                "up to {known}; use images of version {newer} or newer",
                {"found": found, "newer": newer[:40], "ours": VERSION, "known": cls.FORMAT},
            )
        return cls._completed(data) if isinstance(data, dict) else data

    @classmethod
    def _completed(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Adds to the fields of a file what its release, an earlier one, did not write yet."""
        return data

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Reads the manifest of a directory.

        Raises:
            StepError: There is none, or it does not follow the schema.
            OSError: It cannot be read.
        """
        path = Path(directory) / cls.FILE
        if not path.exists():
            raise StepError(
                f"{path}: not found, expected the output of an earlier step; run that step first"
            )
        if not path.is_file():  # reading a pipe would wait for ever
            raise StepError(f"{path}: is not a file, expected one that an earlier step wrote")
        return cls.parse(path.read_bytes(), str(path))

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
            if first["type"] == _HIGHER_FORMAT:
                raise StepError(f"{name}: {first['msg']}") from None
            where = ".".join(str(part) for part in first["loc"])
            raise StepError(
                f"{name}: {where or 'the file'}: {first['msg']}; {cls.REMEDY}"
            ) from None

    @property
    def text(self) -> str:
        """The manifest's text."""
        return self.model_dump_json(indent=2) + "\n"

    def write(self, directory: Path) -> None:
        """Writes the manifest into a directory."""
        write_text(Path(directory) / self.FILE, self.text)


def _inside(file: str) -> str:
    path = PurePosixPath(file)
    inside = file == str(path) and file.isprintable() and not path.is_absolute()
    if not inside or ".." in path.parts or not path.name:
        raise ValueError(f"{file!r} is not a path inside the dataset's directory")
    return file


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


InsidePath = Annotated[str, AfterValidator(_inside)]  # relative to the manifest's directory


class ReadFrom(BaseModel):
    """Where a shard's records were read: one after another in a file, or as another file says."""

    location: str = ""  # the file that they are in
    first: NonNegativeInt = 0  # the number of the first one there, from 0
    # Or a Parquet file with the location and the position of each, and its sha256.
    file: InsidePath | None = None
    sha256: Sha256 | None = None


class Shard(BaseModel):
    """One TFRecord file."""

    file: InsidePath
    records: NonNegativeInt
    bytes: NonNegativeInt
    sha256: Sha256
    read_from: ReadFrom | None = None  # None of what is no shard, and of earlier releases


class Split(BaseModel):
    """One split of a dataset."""

    records: NonNegativeInt
    rejected: NonNegativeInt
    wrong_size: NonNegativeInt  # rejected because the image has another size
    labels: list[NonNegativeInt]  # records of each class
    pixel_mean: float = Field(ge=0, le=255)  # grey value
    pixel_stddev: float = Field(ge=0, le=255)
    duplicates: NonNegativeInt  # records whose image an earlier one of the split has too
    shards: list[Shard]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        counted = sum(self.labels), sum(shard.records for shard in self.shards)
        if counted != (self.records, self.records):
            raise ValueError(
                f"{self.records} records, but {counted[0]} labels and {counted[1]} in shards"
            )
        return self


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


def _check_splits(found: Collection[str]) -> None:
    if set(found) != set(SPLITS):
        raise ValueError(f"{', '.join(found) or 'no splits'}, expected {', '.join(SPLITS)}")


Pair = Literal["train,validation", "train,test", "validation,test"]


class Dataset(Manifest):
    """``dataset.json``: what ingest hands on."""

    FILE: ClassVar[str] = "dataset.json"

    image_shape: ImageShape
    class_names: ClassNames  # a label is a place in this list, from 0
    splits_from: str  # a sentence: what decided which split a record is in
    source: str
    options: dict[str, Any] = {}  # of ingest that were not the defaults: how the source was read
    source_fingerprint: str  # sha256 over what identifies the source's files
    metrics: dict[str, int]  # Beam's counters: records read, written, rejected; bytes written
    splits: dict[str, Split]  # train, validation and test
    duplicates: dict[Pair, NonNegativeInt]  # distinct images that two splits share, as "train,test"
    anomalies: list[Anomaly]
    rejected: list[Rejected]  # the first ones; all are in the directory rejected/

    @classmethod
    def _completed(cls, data: dict[str, Any]) -> dict[str, Any]:
        if data.get("classes") == len(DIGITS):  # of release 0.1.0, which counted them
            return {"class_names": DIGITS, "splits_from": "", **data}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_splits(self.splits)
        files = [shard.file for split in self.splits.values() for shard in split.shards]
        if len(set(files)) < len(files):
            raise ValueError("two shards with one name")
        for name, split in self.splits.items():
            if len(split.labels) != len(self.class_names):
                raise ValueError(
                    f"{name} counts {len(split.labels)} labels, expected {len(self.class_names)}"
                )
        return self

    @property
    def fingerprint(self) -> str:
        """Identifies the records themselves: sha256 over the shards' names and sha256 sums."""
        digest = hashlib.sha256()
        for split in self.splits.values():
            for shard in split.shards:
                digest.update(f"{shard.file} {shard.sha256}\n".encode())
        return digest.hexdigest()

    def differs_in_classes(self, class_names: Sequence[str]) -> str:
        """Says how the classes of something else differ; empty where they are the same."""
        if len(class_names) != len(self.class_names):
            return f"{len(class_names)} classes, the data set has {len(self.class_names)}"
        for label, (theirs, ours) in enumerate(zip(class_names, self.class_names, strict=True)):
            if theirs != ours:
                return f"class {label} is {theirs!r}, in the data set it is {ours!r}"
        return ""

    def files(self, directory: Path, split: str) -> list[str]:
        """Returns the paths of a split's shards, in order."""
        return [str(Path(directory) / shard.file) for shard in self.splits[split].shards]


class Score(BaseModel):
    """How many examples of a split a model gets right."""

    examples: PositiveInt
    correct: NonNegativeInt
    loss: float | None = None  # mean cross-entropy, nats; None where it was not computed

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.correct > self.examples:
            raise ValueError(f"{self.correct} of {self.examples} examples correct")
        return self

    @property
    def precision(self) -> float:
        """Precision@1: the share of examples whose most probable class is the label, 0 to 1."""
        return self.correct / self.examples

    def __str__(self) -> str:
        return (
            f"Num examples: {self.examples}  Num correct: {self.correct}  "
            f"Precision @ 1: {self.precision:.4f}"
        )


class Described(BaseModel):
    """What a model takes and tells apart."""

    image_shape: ImageShape
    class_names: ClassNames  # a class is a place in this list, from 0

    @model_validator(mode="before")
    @classmethod
    def _of_every_release(cls, data: Any) -> Any:
        return _with_digits(data) if isinstance(data, dict) else data


def _with_digits(model: dict[str, Any]) -> dict[str, Any]:
    """Says of a ``model.json`` of release 0.1.0 which images its model takes."""
    config = model.get("config")
    if isinstance(config, dict) and "hidden1" in config:
        return {"image_shape": (28, 28), "class_names": DIGITS, **model}
    return model


class Model(Manifest):
    """``model.json``: what train hands on, and a version in a registry has beside its model."""

    FILE: ClassVar[str] = "model.json"

    config: dict[str, Any]
    step: NonNegativeInt
    image_shape: ImageShape
    class_names: ClassNames  # a class is a place in this list, from 0
    dataset_fingerprint: Sha256
    versions: dict[str, str]
    version: str = ""  # of the code that trained it, as commit and dirty are
    commit: str = ""
    dirty: bool = False
    run: str = ""  # that trained it; empty where the runner gave none
    seconds: float = 0.0  # that its last attempt took, evaluations included
    steps_per_second: float = 0.0  # of that attempt, without evaluations and compilation
    scores: dict[str, Score]  # of the last evaluation during training, by split

    @classmethod
    def _completed(cls, data: dict[str, Any]) -> dict[str, Any]:
        return _with_digits(data)

    @field_validator("scores")
    @classmethod
    def _of_every_split(cls, scores: dict[str, Score]) -> dict[str, Score]:
        _check_splits(scores)
        return scores

    @property
    def code(self) -> Code:
        """Which code trained it."""
        return Code(self.version, self.commit, self.dirty)

    @classmethod
    def class_names_in(cls, directory: Path) -> list[str]:
        """Reads the names of the classes alone; none where a version came without.

        What else a version's ``model.json`` holds differs from release to release.
        """
        path = Path(directory) / cls.FILE
        try:
            return Described.model_validate_json(path.read_bytes()).class_names
        except (FileNotFoundError, ValidationError):
            return []

    @classmethod
    def described_in(cls, directory: Path) -> Described:
        """Reads what a version's model takes and tells apart.

        Raises:
            StepError: Its ``model.json`` does not say so.
        """
        path = Path(directory) / cls.FILE
        try:
            return Described.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            raise StepError(
                f"{path}: does not say which images the model takes; publish a version of this "
                "release"
            ) from None


class Evaluation(Manifest):
    """``evaluation.json``: what evaluate hands on."""

    FILE: ClassVar[str] = "evaluation.json"

    verdicts: list[Verdict] = Field(min_length=1)  # or what nobody judged would be blessed
    warnings: list[str]  # what a reader should know and no rule decides on
    model_sha256: Sha256  # of the SavedModel that was judged
    dataset_fingerprint: Sha256
    config: dict[str, Any]  # the rules' bounds
    versions: dict[str, str]
    seconds: dict[str, float]  # wall time of each part of the evaluation
    serving: Serving
    splits: dict[str, SplitEvaluation]
    robustness: list[Slice]  # the test split, changed
    champion: Comparison | None  # None where none is published yet
    mistakes: list[Mistake]  # of the test split, the surest first
    roc: Roc  # of the test split

    @classmethod
    def _completed(cls, data: dict[str, Any]) -> dict[str, Any]:
        splits = data.get("splits")
        for split in splits.values() if isinstance(splits, dict) else ():
            if isinstance(split, dict) and isinstance(split.get("digits"), list):  # release 0.1.0
                named = zip(DIGITS, split.pop("digits"), strict=False)
                split["classes"] = [{"name": name, **figures} for name, figures in named]
        return data

    @field_validator("splits")
    @classmethod
    def _of_every_split(cls, splits: dict[str, SplitEvaluation]) -> dict[str, SplitEvaluation]:
        _check_splits(splits)
        return splits

    @property
    def blessed(self) -> bool:
        """Whether the model may go out: every rule holds."""
        return all(verdict.passed for verdict in self.verdicts)
