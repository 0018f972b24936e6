"""The figures that ``evaluation.json`` is made of."""

from pydantic import BaseModel

Interval = tuple[float, float]  # 95 % confidence, Wilson's score interval: low, high


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


class Slice(BaseModel):
    """Some of a split's examples, or all of them changed in one way."""

    slice: str  # what they have in common: "class", "mean ink", "shifted", …
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


class Comparison(BaseModel):
    """The champion on the same test split, beside the model that was judged."""

    name: str
    test: SplitEvaluation
    gained: int  # examples that only the judged model gets right
    lost: int  # examples that only the champion gets right
    p_value: float  # McNemar's exact test, two-sided


class Mistake(BaseModel):
    """An example that the model gets wrong."""

    index: int  # position in the test split, from 0
    label: int
    predicted: int
    probability: float  # of the predicted class
    label_probability: float


class Serving(BaseModel):
    """How the SavedModel answers single requests."""

    latency_ms: float  # median of one image at a time, in this process
    problem: str  # what its signatures disagree on; empty where they agree
