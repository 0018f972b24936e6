"""The figures that ``evaluation.json`` is made of."""

from pydantic import BaseModel, computed_field

from components.shared.significance import Interval, wilson


class Verdict(BaseModel):
    """What a rule says: one of the blessing, or of the watch on what comes in."""

    rule: str
    passed: bool
    reason: str

    def __str__(self) -> str:
        return f"{'pass' if self.passed else 'FAIL'} {self.rule}: {self.reason}"


class ClassFigures(BaseModel):
    """How a model does on one class."""

    name: str
    examples: int
    precision: float  # of the examples taken for the class, the share that is it; 0 where none
    recall: float  # of the class's examples, the share taken for it; 0 where none
    f1: float  # harmonic mean of both; 0 where both are

    @computed_field  # type: ignore[prop-decorator]
    @property
    def recall_interval(self) -> Interval | None:
        """The interval of the recall; None where there are no examples."""
        return wilson(round(self.recall * self.examples), self.examples) if self.examples else None


class Slice(BaseModel):
    """Some of a split's examples, or all of them changed in one way."""

    slice: str  # what they have in common: "class", "mean grey value", "shifted", …
    value: str
    examples: int
    correct: int
    precision_at_1: float
    interval: Interval


class CalibrationBin(BaseModel):
    """The examples whose highest probability lies in one of the equal bins of 0 to 1."""

    low: float
    high: float
    examples: int
    confidence: float  # mean of the highest probability
    precision_at_1: float


class Roc(BaseModel):
    """A receiver operating characteristic, all classes pooled one against the rest."""

    thresholds: list[float]  # finite, falling from 1 to 0
    true_positive_rate: list[float]
    false_positive_rate: list[float]


class SplitEvaluation(BaseModel):
    """Figures of one split."""

    examples: int
    correct: int
    precision_at_1: float
    interval: Interval  # of precision_at_1
    precision_at_k: dict[int, float]  # share of examples with the label among the k most probable
    log_loss: float  # nats
    calibration_error: float  # expected, 0 to 1
    classes: list[ClassFigures]  # in the order of the labels
    confusion: list[list[int]]  # [label][predicted]
    slices: list[Slice]
    calibration: list[CalibrationBin]  # those with examples

    @property
    def most_frequent(self) -> int:
        """The class with the most examples, as its place among the classes."""
        return max(range(len(self.classes)), key=lambda place: self.classes[place].examples)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def majority_baseline(self) -> float:
        """Precision@1 of whoever answers the most frequent class every time."""
        return self.classes[self.most_frequent].examples / self.examples

    @computed_field  # type: ignore[prop-decorator]
    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have examples."""
        recalls = [one.recall for one in self.classes if one.examples]
        return sum(recalls) / len(recalls)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have examples or are answered."""
        answered = [sum(column) for column in zip(*self.confusion, strict=True)]
        pairs = zip(self.classes, answered, strict=True)
        scores = [one.f1 for one, answers in pairs if one.examples or answers]
        return sum(scores) / len(scores)

    @property
    def never_recognized(self) -> list[str]:
        """The names of the classes that have examples of which none is recognized."""
        return [one.name for one in self.classes if one.examples and not one.recall]

    @property
    def class_shares(self) -> list[float]:
        """The share of each class among the examples."""
        return [one.examples / self.examples for one in self.classes]


class Comparison(BaseModel):
    """The champion on the same test split, beside the model that was judged."""

    name: str
    model_sha256: str = ""  # of the champion's SavedModel; empty: not known, as of older releases
    class_shares: list[float] | None = None  # of the test split it was published with, if known
    test: SplitEvaluation
    gained: int  # examples that only the judged model gets right
    lost: int  # examples that only the champion gets right
    p_value: float  # McNemar's exact test, two-sided


class Mistake(BaseModel):
    """An example that the model gets wrong."""

    index: int  # position in the test split, from 0
    where: str = ""  # the file that it was read from, and its number there; empty: not known
    label: int
    predicted: int
    probability: float  # of the predicted class
    label_probability: float


class Serving(BaseModel):
    """How the SavedModel answers single requests."""

    latency_ms: float  # median of one image at a time, in this process
    problem: str  # what its signatures disagree on; empty where they agree
