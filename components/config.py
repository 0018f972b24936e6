"""Every default of the project, once: command lines and pipeline parameters come from here.

A field's description is its ``--help`` text; its type and bounds are checked before work starts.
Field names are unique across the steps, since a pipeline has one flat list of parameters.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from components.space import Space, parse

VERSION = "0.2.0"
IMAGE = "mnist-pipeline-{step}:latest"  # a step's image, until the cluster's settings name another


def image(step: str) -> str:
    """Returns the default name of a step's image."""
    return IMAGE.format(step=step)


# Whole numbers stay below 2^31, which TensorFlow's shapes and seeds hold, and so does the double
# that Kubeflow Pipelines hands a parameter on as.
PositiveInt = Annotated[int, Field(gt=0, lt=1 << 31)]
NonNegativeInt = Annotated[int, Field(ge=0, lt=1 << 31)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Options:
    """What the configurations of the steps have in common."""

    @classmethod
    def names(cls) -> set[str]:
        """Returns the names of the configuration's fields."""
        return {field.name for field in fields(cls)}  # type: ignore[arg-type]

    @classmethod
    def select(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns those values that carry the name of one of the configuration's fields."""
        names = cls.names()
        return {name: value for name, value in values.items() if name in names}

    @classmethod
    def changed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns those values that differ from the default of the field of their name."""
        chosen = cls.select(values)
        return {name: value for name, value in chosen.items() if value != getattr(cls, name)}

    @classmethod
    def pick(cls, values: Mapping[str, Any]) -> Self:
        """Builds the configuration from those values that carry the name of one of its fields."""
        return cls(**cls.select(values))


@dataclass(frozen=True)
class Reading(Options):
    """Which images are read, and how."""

    source: str = Field(
        default="data/mnist",
        description="Where the images are: a file or a directory on disk, gs://, s3:// or "
        "https://, of IDX files, .npz, CSV, Parquet, TFRecord, or pictures in a folder a class, "
        "also in a zip or tar; a pattern with *, **/ or {date}; several of these with commas "
        "between; or fake://N, also as fake://N?classes=47&shape=32x32.",
    )
    class_names: str = Field(
        default="",
        description="Names of the classes, by label: with commas between, or a number of classes, "
        "or a file with one a line, or fashion-mnist; empty: those of the source, or 0 to 9.",
    )
    image_column: str = Field(
        default="image", description="Column or feature that holds the image."
    )
    label_column: str = Field(
        default="label", description="Column or feature that holds the label."
    )
    grey: bool = Field(
        default=False,
        description="Make colours grey (ITU-R 601), transparency black, and 16 bits the upper 8 of "
        "them; without it, such images are rejected.",
    )
    resize: str = Field(
        default="",
        pattern=r"^$|^[1-9]\d{0,2}x[1-9]\d{0,2}$",
        description="Height and width, as 28x28, that every image is resized to; without it, "
        "images of another size than the first are rejected.",
    )
    shape: str = Field(
        default="",
        pattern=r"^$|^[1-9]\d{0,2}x[1-9]\d{0,2}$",
        description="Height and width, as 60x100, of images that are pixels in a row, as in a "
        "table; empty: what the source says, or a square's.",
    )
    transpose: bool = Field(
        default=False,
        description="Exchange rows and columns of every image; EMNIST's files, known by their "
        "names, are transposed anyway.",
    )
    span: NonNegativeInt = Field(
        default=0,
        description="Days to read of a source with {date} in its address; 0 reads all.",
    )
    until: str = Field(
        default="",
        description="The last day to read of such a source, or a time in it, as ISO 8601; empty is "
        "today (UTC).",
    )
    shard_size: PositiveInt = Field(
        default=16_384,
        description="Records a file written at most, and no more than 64 MiB of pixels; a worker "
        "holds one shard in memory.",
    )
    max_rejected: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of unusable records, 0 to 1, above which the step stops.",
    )
    cache: str = Field(
        default="",
        description="Directory that keeps downloaded files; empty: .cache/mnist-pipeline in the "
        "home directory.",
    )


@dataclass(frozen=True)
class Ingest(Reading):
    """Raw files to TFRecord splits."""

    validation_size: PositiveInt = Field(
        default=5_000,
        description="Records split off the start of train for validation, where the source has "
        "the splits train and test.",
    )
    validation_share: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Share of the records, 0 to 0.5, that a hash of the image sends to "
        "validation, where the source has no splits.",
    )
    test_share: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="The same for test.",
    )
    previous: str = Field(
        default="",
        description="The dataset.json of an earlier run, to tell label drift from; empty: none.",
    )
    max_drift: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Largest change of a label's share, 0 to 1, that is not reported as drift.",
    )


@dataclass(frozen=True)
class Train(Options):
    """TFRecord splits to a SavedModel."""

    network: str = Field(
        default="mlp",
        pattern=r"^[a-z][a-z0-9_]*$|^[^:]+:[A-Za-z_][A-Za-z0-9_]*$",
        description="Which network: mlp, cnn or another file in components/train/networks/; or a "
        "function that builds a Keras model, as path/to/file.py:build or module:build.",
    )
    hidden: str = Field(
        default="128,32",
        pattern=r"^[1-9]\d{0,4}(,[1-9]\d{0,4})*$",
        description="Units of each hidden layer of mlp, from the pixels on: as many layers as "
        "numbers.",
    )
    standardize: bool = Field(
        default=True,
        description="Give the network pixels less the training split's mean, in its standard "
        "deviations, so that one learning rate does for dark and light images of any size; "
        "without it, grey values from 0 to 1.",
    )
    batch_size: PositiveInt = Field(default=500, description="Examples a step.")
    max_steps: PositiveInt = Field(default=1_100, description="Steps of gradient descent.")
    learning_rate: PositiveFloat = Field(default=0.05, description="Learning rate at the start.")
    decay: Literal["linear", "cosine", "none"] = Field(
        default="linear",
        description="How the learning rate falls: along a line or a cosine to 0 at the last step, "
        "or not.",
    )
    warmup_steps: NonNegativeInt = Field(
        default=0, description="Steps in which the learning rate rises to its full size first."
    )
    optimizer: Literal["sgd", "momentum", "adam", "adamw", "muon"] = Field(
        default="muon",
        description="What a step does with the gradient; sgd wants a learning rate of some tenths, "
        "muon of some hundredths, adam and adamw of some thousandths.",
    )
    momentum: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the last step's direction that sgd, momentum and muon keep; 0 is "
        "plain gradient descent with sgd, 0.9 with momentum and 0.8 with muon. With 0.9, a tenth "
        "of sgd's learning rate goes as far.",
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="How strongly weights are pulled towards 0: of adamw its own decay, of the "
        "others the factor of half the weights' square in the loss.",
    )
    average: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share that an exponential moving average of the weights keeps at a step, such "
        "as 0.999; it is evaluated and exported in their place. 0 is off.",
    )
    label_smoothing: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="Share of the label's probability that training deals out among all classes.",
    )
    patience: NonNegativeInt = Field(
        default=0,
        description="Evaluations without a better one on validation after which training ends, "
        "with the weights of the best; 0 is to train to the last step.",
    )
    shift: int = Field(
        default=1,
        ge=0,
        le=3,
        description="Pixels by which images are shifted at random, at most, each way; 0 is off.",
    )
    shift_each: Literal["image", "batch"] = Field(
        default="image",
        description="What is shifted alike: nothing but an image, or all images of a batch.",
    )
    affine: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="How far the numbers of an affine map, drawn anew for every image, lie from "
        "1 and 0 at most: it turns, stretches and slants the image. 0.1 turns it by up to six "
        "degrees; 0 is off.",
    )
    elastic: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Standard deviation, in pixels and each way, of how far an elastic "
        "deformation, drawn anew for every image, moves a pixel; 0 is off.",
    )
    seed: NonNegativeInt = Field(
        default=0,
        description="Seed of the initial weights, the order of examples and how they are moved.",
    )
    log_every: PositiveInt = Field(
        default=100, description="Steps between two status lines; also one compiled loop."
    )
    checkpoint_every: PositiveInt = Field(
        default=400,
        description="Steps between two checkpoints, each with an evaluation on all splits; up to "
        "the next status line.",
    )
    checkpoint_seconds: float = Field(
        default=300.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds after which a checkpoint is written in any case, at the next status "
        "line and without an evaluation: the most that a killed run loses. 0 is never.",
    )
    keep_checkpoints: PositiveInt = Field(default=3, description="Checkpoints kept, newest first.")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="What matrices are multiplied in; weights are float32 either way.",
    )
    xla: bool = Field(
        default=True,
        description="Compile the training loop with XLA, but for networks that it makes slower.",
    )
    restart: bool = Field(
        default=False,
        description="Discard the checkpoints of another configuration instead of refusing them.",
    )
    worker_timeout: PositiveInt = Field(
        default=300,
        description="Seconds to wait for the other workers, at the start and in a block of steps.",
    )
    data_path: Literal["auto", "resident", "streaming"] = Field(
        default="auto",
        description="Hold the training split in memory, stream it from the shards, or decide by "
        "--resident-mib.",
    )
    resident_mib: PositiveInt = Field(
        default=512, description="Largest training split, in MiB, that auto holds in memory."
    )

    @property
    def momentum_share(self) -> float:
        """Share of the last step's direction that is kept; 0 where the optimizer has no such."""
        own = {"sgd": 0.0, "momentum": 0.9, "muon": 0.8}
        return self.momentum or own[self.optimizer] if self.optimizer in own else 0.0

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return tuple(int(units) for units in self.hidden.split(","))


@dataclass(frozen=True)
class Tune(Train):
    """Many trainings with different settings, of which the best on validation is taken.

    Train's options say what a trial is besides what is searched.
    """

    search: str = Field(
        default="learning_rate=0.01..0.1:log hidden=64,32|128,32|128,64 label_smoothing=0..0.1",
        description="What to try: options of train, as learning_rate=0.01..0.1:log (a step in "
        "place of log, as shift=0..3:1), or hidden=64,32|128,32; several with blanks between, or "
        "the option again.",
        json_schema_extra={"repeatable": True},
    )
    trials: PositiveInt = Field(
        default=30,
        description="Trials in all; the first has train's own settings. A search that is "
        "over goes on with more.",
    )
    sampler: Literal["tpe", "random"] = Field(
        default="tpe",
        description="Where settings come from: a tree-structured Parzen estimator of those that "
        "did well, or chance.",
    )
    pruner: Literal["halving", "median", "none"] = Field(
        default="halving",
        description="Which trials end early by what they reach on validation: all but the best "
        "quarter of those that came as far (halving), or below their median, or none. It is looked "
        "at after 1/32 of the steps, at least a status line, and at each four times as many.",
    )
    parallel: NonNegativeInt = Field(
        default=0,
        description="Trials trained side by side, each with its share of the cores or a GPU; "
        "0 is one a GPU, or else one a core, as far as each has 1 GiB of memory; 16 at most.",
    )

    @field_validator("search")
    @classmethod
    def _can_be_trained(cls, search: str, info: ValidationInfo) -> str:
        """Sees that train takes every end of what is searched, with its other options as here."""
        for name, values in parse(search).items():
            if name not in Train.names():
                raise ValueError(f"{name}: train has no such option")
            for value in values.ends:
                try:
                    Train(**{**Train.select(info.data), name: value})
                except ValidationError as error:
                    reason = error.errors()[0]["msg"].removeprefix("Input ")
                    raise ValueError(f"{name}={value}: {reason}") from None
        return " ".join(search.split())

    @property
    def space(self) -> Space:
        """What is searched, by the option's name."""
        return parse(self.search)

    def trial(self, settings: Mapping[str, Any]) -> Train:
        """Returns the configuration of a trial.

        Raises:
            ValidationError: It is out of bounds, or there is no such option.
        """
        return Train(**{**Train.select(asdict(self)), **settings})


@dataclass(frozen=True)
class Evaluate(Options):
    """A SavedModel to figures, and the decision whether it may go out."""

    min_precision: float = Field(
        default=0.978,
        ge=0,
        le=1,
        description="Least precision@1 on the test split, 0 to 1, for a model to be blessed.",
    )
    max_regression: float = Field(
        default=0.002,
        ge=0,
        le=1,
        description="How far, 0 to 1, precision@1 on the test split may lie below the champion's; "
        "a larger loss counts only where McNemar's test finds it beyond chance.",
    )
    max_share_change: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="How far, 0 to 1, any class's share of the test split may lie from its share "
        "of the one that the champion was published with.",
    )
    no_champion: bool = Field(
        default=False,
        description="Judge the model for itself and not beside the champion, as where the data set "
        "has other classes now.",
    )
    min_class_recall: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="Least share, 0 to 1, of each class's test examples that must be recognized.",
    )
    max_gap: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="How far, 0 to 1, precision@1 on the test split may lie below that on train.",
    )
    max_latency_ms: PositiveFloat = Field(
        default=50.0,
        description="Longest median time, in milliseconds, to classify a single image.",
    )
    model_timeout: PositiveInt = Field(
        default=600,
        description="Seconds to wait for a model to load or to answer a batch; then evaluate ends.",
    )


@dataclass(frozen=True)
class Push(Options):
    """A blessed SavedModel to a registry."""

    destination: str = Field(
        default="registry",
        description="Registry the model is published to: a directory, or gs://bucket/prefix or "
        "s3://bucket/prefix.",
    )
    model_name: str = Field(
        default="digits",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        description="Name of the model in the registry.",
    )
    hold: bool = Field(
        default=False,
        description="Publish without making the version the champion; the command that does is "
        "named.",
    )
    export: Literal["none", "litert", "onnx"] = Field(
        default="none",
        description="Another format to put beside the SavedModel, checked against its answers.",
    )
    max_serving_ms: PositiveFloat = Field(
        default=250.0,
        description="Longest median time, in milliseconds, that a fresh process may take to "
        "answer a request of 1 or of 100 images.",
    )
    max_model_mib: PositiveFloat = Field(
        default=100.0, description="Largest SavedModel, in MiB, that is published."
    )


@dataclass(frozen=True)
class Predict(Reading):
    """New images to what a published model says of them."""

    destination: str = Field(
        default=Push.destination, description="Registry that the model is taken from."
    )
    model_name: str = Field(
        default=Push.model_name, description="Name of the model in the registry."
    )
    version: NonNegativeInt = Field(
        default=0, description="Version of the model to predict with; 0 is the champion."
    )


@dataclass(frozen=True)
class Watch(Options):
    """What came in beside what the model was trained on, and whether somebody should look."""

    max_ink_psi: PositiveFloat = Field(
        default=0.1,
        description="Largest population stability index of the images' mean grey value "
        "against the training split.",
    )
    max_pixel_distance: PositiveFloat = Field(
        default=10.0,
        description="Largest root mean square difference between the mean images, in grey values, "
        "0 to 255.",
    )
    max_texture_distance: PositiveFloat = Field(
        default=0.2,
        description="Largest distance of the mean texture from the training split's, in standard "
        "deviations: how grey values change from pixel to pixel.",
    )
    max_unusual: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="How far the share of images whose texture is unlike the training split's may "
        "lie above that on the test split.",
    )
    max_class_change: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Largest change of a class's share of the predictions against those on the "
        "test split.",
    )
    low_confidence: float = Field(
        default=0.8,
        ge=0,
        le=1,
        multiple_of=0.01,
        description="Probability of the predicted class, in hundredths, below which an answer "
        "counts as unsure.",
    )
    max_low_confidence: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="How far the share of unsure answers may lie above that on the test split.",
    )
    max_precision_loss: float = Field(
        default=0.005,
        ge=0,
        le=1,
        description="How far precision@1 may lie below that on the test split, where labels came.",
    )


@dataclass(frozen=True)
class Retrain(Options):
    """What an alarm that training can mend starts: one training."""

    retrain: str = Field(
        default="",
        description="Sources, with commas between, that one training is started on after such an "
        "alarm, with all else as the champion was trained; empty: none is.",
    )
    retrain_pause: NonNegativeInt = Field(
        default=7,
        description="Days from the start of such a training in which no other of the same model is "
        "started.",
    )
    kfp_api: str = Field(
        default="http://ml-pipeline.kubeflow:8888",
        pattern=r"^https?://",
        description="Where a pod reaches Kubeflow Pipelines, which starts the training on a "
        "cluster.",
    )


@dataclass(frozen=True)
class Serve(Options):
    """A try-out server on this machine; no step of the pipeline."""

    destination: str = Field(
        default=Push.destination, description="Registry that the champion is taken from."
    )
    model_name: str = Field(
        default=Push.model_name, description="Name of the model in the registry."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=8501, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    allowed_hosts: str = Field(
        default="",
        description="Further names, separated by commas, that clients may call this server by; its "
        "addresses, --host, localhost and this machine's name are known. Others are refused, "
        "because a web page could lead its own name here.",
    )
    max_request_kib: PositiveInt = Field(
        default=4_096, description="Largest request, in KiB, that is read."
    )
    refresh_seconds: PositiveFloat = Field(
        default=5.0, description="Seconds between two looks whether the champion has changed."
    )


@dataclass(frozen=True)
class Notification(Options):
    """Who is told how a run ended."""

    webhook: str = Field(
        default="",
        pattern=r"^$|^https?://",
        description="http(s):// address that gets the run's outcome as Slack-compatible JSON; "
        "empty: none.",
    )
    heartbeat: str = Field(
        default="",
        pattern=r"^$|^https?://",
        description="http(s):// address that is called after a run that succeeded, so that who "
        "waits for the call notices a run that never was; empty: none.",
    )
    run_page: str = Field(
        default="",
        pattern=r"^$|^https?://",
        description="http(s):// address of a run's page, {run} standing for its id, to be told "
        "with the outcome; empty: none.",
    )


@dataclass(frozen=True)
class Run(Notification):
    """What concerns a whole run of training."""

    checkpoints: str = Field(
        default="",
        description="Directory for checkpoints and TensorBoard events, or for a search's study, "
        "that outlives the run: another run goes on from there; empty: in the run's own directory.",
    )
    no_push: bool = Field(
        default=False, description="Train and judge only: a blessed model is not published."
    )


# Parameters that let whoever knows them in, so that no message has them.
SECRET = {"webhook", "heartbeat"}

# Options of train that go together, by the recipe's name.
RECIPES: dict[str, dict[str, Any]] = {
    "tutorial": {  # TensorFlow Mechanics 101's own
        "learning_rate": 0.01,
        "max_steps": 2_000,
        "checkpoint_every": 1_000,
        "batch_size": 100,
        "decay": "none",
        "shift": 0,
        "standardize": False,
        "optimizer": "sgd",
        "label_smoothing": 0.0,
    },
    "best": {  # the most that the default network was seen to reach, in minutes
        "max_steps": 8_800,
        "checkpoint_every": 1_100,
        "label_smoothing": 0.0,
        "affine": 0.15,
        "elastic": 1.0,
    },
}
