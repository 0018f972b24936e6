"""The manifests of what predict hands on, and of what the champion was trained on."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, computed_field, model_validator

from components.shared.days import DATE
from components.shared.evaluation import Verdict
from components.shared.manifests import ClassNames, ImageShape, Manifest, Rejected, Sha256, Shard
from components.shared.profile import Count, Profile, is_image
from components.shared.significance import Interval, wilson
from components.shared.texture import Texture, feature_count


class Reference(Manifest):
    """``reference.json``: what a model was trained and tested on; it travels with the model."""

    FILE: ClassVar[str] = "reference.json"

    source: str  # of the data set, as it may be shown
    dataset_fingerprint: Sha256
    model_sha256: Sha256
    class_names: ClassNames
    # Of ingest, train and evaluate that were not the defaults.
    options: dict[str, Any] = Field(default_factory=dict)
    # Of the training split, about its mean image; mean over all pixels.
    pixel_variance: float = Field(ge=0, allow_inf_nan=False)
    train: Profile
    test: Profile
    texture: Texture | None = None  # None where an earlier version published the model
    run: str = ""  # that trained it; empty where that is not known
    # Of the test split, by class: examples, and how many of them are recognized. Empty likewise.
    test_examples: list[Count] = Field(default_factory=list)
    test_correct: list[Count] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for profile in (self.train, self.test):
            _check(profile, self.class_names, self.train.image_shape)
        self._check_tested()
        if not (self.train.images and self.test.images):
            raise ValueError("a split without images")
        if self.texture:
            features = feature_count(self.train.image_shape)
            if len(self.texture.mean) != features or not self.train.sampled * self.test.sampled:
                raise ValueError(f"expected textures of {features} features")
        return self

    def _check_tested(self) -> None:
        examples, correct = self.test_examples, self.test_correct
        if not examples and not correct:
            return
        if {len(examples), len(correct)} != {len(self.class_names)}:
            raise ValueError(f"test examples of {len(examples)} classes")
        fits = all(right <= of for right, of in zip(correct, examples, strict=True))
        if sum(examples) != self.test.images or not fits:
            raise ValueError(f"{self.test.images} test images, but {sum(examples)} counted")

    @property
    def promised(self) -> "Labelled | None":
        """What the model reached on the test split; None where an earlier release published it."""
        return Labelled.of(sum(self.test_correct), sum(self.test_examples))

    def training(self, source: str, registry: str, model_name: str) -> dict[str, Any]:
        """Returns the parameters that train the same model anew, all else as it was trained.

        Args:
            source: What on.
            registry: Where the model goes.
            model_name: Its name there.
        """
        given = {"source": source, "destination": registry, "model_name": model_name}
        days = DATE in source  # else there is nothing that a span could be of
        return {**given, **{k: v for k, v in self.options.items() if days or k != "span"}}

    def promised_of(self, place: int) -> "Labelled | None":
        """The same of one class; None also where it has no such class, or no test examples."""
        if place >= len(self.test_examples):
            return None
        return Labelled.of(self.test_correct[place], self.test_examples[place])


class LeastSure(BaseModel):
    """An image whose most probable class is not very probable."""

    source: str  # its file
    position: NonNegativeInt  # its number there, from 0
    predicted: NonNegativeInt  # a place in the class names
    probability: float = Field(ge=0, le=1)  # of that class
    image: str  # its pixels, uint8, in base64


class Labelled(BaseModel):
    """How the model does where labels came with the images."""

    images: PositiveInt
    correct: NonNegativeInt
    precision_at_1: float
    interval: Interval  # of precision_at_1

    @classmethod
    def of(cls, correct: int, images: int) -> Self | None:
        """Returns the figures of so many images; None where there are none."""
        if not images:
            return None
        interval = wilson(correct, images)
        return cls(
            images=images, correct=correct, precision_at_1=correct / images, interval=interval
        )


class LabelledDay(BaseModel):
    """The answers of a day, or of another batch, beside labels that came later."""

    source: str  # of the images, as it may be shown
    version: PositiveInt  # of the model that answered
    images: NonNegativeInt  # that came in
    labelled: Labelled | None  # each image once; None where none has a label
    promised: Labelled | None  # the test split's, of that version


class LabelledClass(BaseModel):
    """How many images of a class are recognized, of those that have labels."""

    name: str
    labelled: Labelled
    promised: Labelled | None  # None also where the model has no such class


class LaterLabels(BaseModel):
    """Labels that came after the predictions, and how the answers do beside them."""

    source: str  # of the labels, as it may be shown
    labels: NonNegativeInt  # images with one label
    contradicting: NonNegativeInt  # images with several, left out
    unusable: NonNegativeInt  # records without a readable image or a label
    unpredicted: NonNegativeInt  # of the labels: of images that came on none of the days
    repeated: NonNegativeInt  # of the labels: of images that came on several days
    days: list[LabelledDay]  # the oldest first
    # Of all days that the newest day's version answered; an image counts once, with the last
    # answer.
    window: Labelled
    promised: Labelled | None
    classes: list[LabelledClass]  # of the same, those with labels


class Predictions(Manifest):
    """``predictions.json``: what predict hands on."""

    FILE: ClassVar[str] = "predictions.json"

    source: str  # as it may be shown, with the day in place of {date}
    source_fingerprint: str  # sha256 over what identifies the source's files
    registry: str  # where the model was taken from
    model_name: str
    version: PositiveInt
    model_sha256: Sha256
    class_names: ClassNames
    metrics: dict[str, int]  # Beam's counters: records read, written, rejected; bytes written
    rejected: list[Rejected]  # the first ones; all are in the directory rejected/
    files: list[Shard]  # the Parquet files, in order
    class_shares: dict[str, float]  # of the answers, by the class's name
    mean_confidence: float
    labelled: Labelled | None  # None where no labels came
    least_sure: list[LeastSure]  # the least sure first
    profile: Profile
    # Of some of the images, after each simple cause of an alarm is undone: see causes.py.
    undone: dict[str, Profile] = Field(default_factory=dict)
    # Of predict, besides registry and model: the source, and what was not the default.
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for profile in (self.profile, *self.undone.values()):
            _check(profile, self.class_names, self.profile.image_shape)
        for image in self.least_sure:
            if not is_image(image.image, self.profile.image_shape):
                raise ValueError("the least sure: no image of that size")
            if image.predicted >= len(self.class_names):
                raise ValueError(f"the least sure: class {image.predicted}, which there is not")
        return self


class DriftFigure(BaseModel):
    """A figure of how far what came in lies from what the model was trained on."""

    name: str  # of the option that bounds it
    value: float
    bound: float
    chance: float  # what it reaches by chance in one of a thousand cases, with so many images

    @property
    def too_far(self) -> bool:
        """Whether it is above its bound, and above what chance gives."""
        return self.value > self.bound and self.value > self.chance


class Advice(BaseModel):
    """A thing to do."""

    text: str
    command: str = ""


class Diagnosis(BaseModel):
    """What probably happened where there is an alarm, and what to do."""

    cause: str  # empty where nothing simple explains it
    sentence: str
    trainable: bool  # whether training on what came in, too, can mend it
    advice: list[Advice]  # in order

    @property
    def to_do(self) -> str:
        """The advice that has a command, in one line."""
        return "; ".join(f"{one.text}: {one.command}" for one in self.advice if one.command)


class Drift(Manifest):
    """``drift.json``: what watch hands on."""

    FILE: ClassVar[str] = "drift.json"

    verdicts: list[Verdict] = Field(min_length=1)
    figures: list[DriftFigure]
    images: PositiveInt
    source: str  # of the images, as it may be shown
    registry: str
    model_name: str
    version: PositiveInt  # of the model
    diagnosis: Diagnosis | None = None  # of an alarm; None also where an earlier release wrote it
    labels: LaterLabels | None = None  # where watch was given labels

    @computed_field  # type: ignore[prop-decorator]
    @property
    def quiet(self) -> bool:
        """Whether nothing has moved: every rule holds."""
        return all(verdict.passed for verdict in self.verdicts)

    def line(self, also: str = "", advise: bool = True) -> str:
        """Returns the decision and why, in one line.

        Args:
            also: What else is to be said of an alarm.
            advise: Whether to say what to do.
        """
        if not self.diagnosis:
            return f"Quiet: all {len(self.verdicts)} rules hold for {self.images:,} images"
        failed = [verdict for verdict in self.verdicts if not verdict.passed]
        others = ", ".join(verdict.rule for verdict in failed[1:])
        parts = [
            self.diagnosis.sentence,
            failed[0].reason + (f" (also {others})" if others else ""),
            also,
            f"what to do: {self.diagnosis.to_do}" if advise else "",
        ]
        return f"Alarm: {self.source}: {'; '.join(filter(None, parts))}"


def _check(profile: Profile, class_names: Sequence[str], image_shape: ImageShape) -> None:
    if len(profile.predicted) != len(class_names):
        raise ValueError(f"answers of {len(profile.predicted)} classes, {len(class_names)} named")
    if profile.image_shape != image_shape:
        raise ValueError("images of several sizes")
