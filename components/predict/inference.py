"""What a model says of a range of images, by Beam's own inference transform."""

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from apache_beam import coders
from apache_beam.ml.inference.base import ModelHandler

from components.predict.champion import Champion
from components.shared.errors import StepError
from components.sources.source import Range, Records


@dataclass(frozen=True)
class Read:
    """The records of a range."""

    part: Range
    records: Records

    def __len__(self) -> int:
        return len(self.records.images)

    @property
    def nbytes(self) -> int:
        """The bytes of its pixels."""
        return self.records.images.nbytes


@dataclass(frozen=True)
class Answered:
    """What a model says of them: of the classes, float32 ``[n, classes]``, or why it does not."""

    read: Read
    probabilities: npt.NDArray[np.float32] | StepError

    @property
    def nbytes(self) -> int:
        """The bytes of the images' pixels."""
        return self.read.nbytes


class RangeCoder(coders.Coder):
    """Says how large a range is without encoding it, which Beam else does to count bytes."""

    def encode(self, value: Read | Answered) -> bytes:
        """Encodes a range, where a runner does send it elsewhere."""
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> Any:
        """Decodes it."""
        return pickle.loads(encoded)

    def estimate_size(self, value: Read | Answered) -> int:
        """Returns about how many bytes it is."""
        return value.nbytes

    def is_deterministic(self) -> bool:
        """Nothing is grouped by it."""
        return False


for kind in (Read, Answered):
    coders.registry.register_coder(kind, RangeCoder)


class SavedModelHandler(ModelHandler[Read, Answered, Any]):
    """Loads a published version once a process, and has it answer range by range.

    A range is cut into batches at the same places whoever works on it, so that its answers are the
    same to the last bit.
    """

    def __init__(self, champion: Champion) -> None:
        super().__init__()
        self._champion = champion

    def load_model(self) -> Any:
        """Returns the function from images to probabilities, or the error that it does not load."""
        # TensorFlow is for the workers, and its import takes seconds.
        from components.scoring.classifier import classifier, load

        described = self._champion.described
        try:
            with TemporaryDirectory() as cache:
                directory = self._champion.fetch(Path(cache))
                model = load(directory, described.image_shape, len(described.class_names))
                return classifier(model, str(directory))
        except StepError as error:
            return error

    def run_inference(
        self, batch: Sequence[Read] | Read, model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterable[Answered]:
        """Yields the answers to a range."""
        assert isinstance(batch, Read)
        yield Answered(batch, self._answers(batch, model))

    def _answers(self, read: Read, model: Any) -> npt.NDArray[np.float32] | StepError:
        from components.scoring.classifier import BATCH

        if isinstance(model, StepError):
            return model
        images = read.records.images
        answers = np.empty((len(images), len(self._champion.described.class_names)), np.float32)
        try:
            for start in range(0, len(images), BATCH):
                answers[start : start + BATCH] = model(images[start : start + BATCH])
        except StepError as error:
            return error
        return answers

    def should_skip_batching(self) -> bool:
        """A range is a batch already."""
        return True

    def get_num_bytes(self, batch: Sequence[Read] | Read) -> int:
        """Returns the bytes of a range's pixels."""
        assert isinstance(batch, Read)
        return batch.nbytes
