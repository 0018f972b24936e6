"""Where a model breaks: the test split shifted, with noise, inverted."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from components.evaluate.figures import make_slice
from components.evaluate.scoring import Batch
from components.scoring.classifier import Classifier
from components.shared.evaluation import Slice

Images = npt.NDArray[np.uint8]  # [batch, height, width]
Change = Callable[[Images, int], Images]  # the int: position of the first image in the split


def shifted(pixels: int) -> Change:
    """Moves images right, down, left and up in turn; what leaves the frame is lost."""

    def change(images: Images, start: int) -> Images:
        moved = np.zeros_like(images)
        first = -start % 4
        right, down, left, up = (slice((first + turn) % 4, None, 4) for turn in range(4))
        moved[right, :, pixels:] = images[right, :, :-pixels]
        moved[down, pixels:] = images[down, :-pixels]
        moved[left, :, :-pixels] = images[left, :, pixels:]
        moved[up, :-pixels] = images[up, pixels:]
        return moved

    return change


def noisy(deviation: int) -> Change:
    """Adds Gaussian noise, the same in every evaluation, and clips to 0 … 255."""

    def change(images: Images, start: int) -> Images:
        noise = np.random.default_rng(start).standard_normal(images.shape, np.float32)
        return np.clip(images + deviation * noise, 0, 255).astype(np.uint8)

    return change


def inverted(images: Images, _: int) -> Images:
    """Swaps ink and background."""
    return 255 - images


CHANGES: dict[tuple[str, str], Change] = {
    ("shifted", "1 pixel"): shifted(1),
    ("shifted", "2 pixels"): shifted(2),
    ("noise", "deviation 32 of 255"): noisy(32),
    ("noise", "deviation 64 of 255"): noisy(64),
    ("inverted", "ink and background"): inverted,
}


class Robustness:
    """Scores a model on every change of the batches it is scored on."""

    def __init__(self, classify: Classifier) -> None:
        self._classify = classify
        self._examples = 0
        self._correct = dict.fromkeys(CHANGES, 0)
        self._sample: Images | None = None  # [1, height, width]

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""
        self._examples += len(batch.labels)
        for key, change in CHANGES.items():
            predicted = self._classify(change(batch.images, batch.start)).argmax(axis=1)
            self._correct[key] += int((predicted == batch.labels).sum())
        if self._sample is None:
            self._sample = batch.images[:1].copy()

    def result(self) -> list[Slice]:
        """Returns a slice for every change."""
        return [make_slice(*key, self._examples, hits) for key, hits in self._correct.items()]

    @property
    def samples(self) -> tuple[Images, list[Images]]:
        """The split's first image, uint8 ``[height, width]``, and what every change makes of it."""
        assert self._sample is not None, "nothing was added"
        return self._sample[0], [change(self._sample, 0)[0] for change in CHANGES.values()]
