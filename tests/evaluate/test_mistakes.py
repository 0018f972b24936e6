"""Which mistakes are kept."""

import numpy as np

from components.evaluate.mistakes import KEPT, Mistakes
from tests.evaluate.conftest import random_batches


def test_the_surest_mistakes_of_the_whole_split_are_kept_with_their_images() -> None:
    batches = random_batches(5)
    mistakes = Mistakes()
    for batch in batches:
        mistakes.add(batch)
    labels = np.concatenate([batch.labels for batch in batches])
    probabilities = np.concatenate([batch.probabilities for batch in batches])
    images = np.concatenate([batch.images for batch in batches])
    predicted = probabilities.argmax(axis=1)
    sureness = np.where(predicted != labels, probabilities.max(axis=1), -1)
    expected = np.argsort(-sureness, kind="stable")[:KEPT]
    found = mistakes.result()
    assert [mistake.index for mistake in found] == expected.tolist()
    for mistake, image in zip(found, mistakes.images, strict=True):
        row = mistake.index
        assert np.array_equal(image, images[row])
        assert (mistake.label, mistake.predicted) == (labels[row], predicted[row])
        assert mistake.probability == probabilities[row].max()
        assert mistake.label_probability == probabilities[row, labels[row]]


def test_a_model_without_mistakes_has_none() -> None:
    batch = random_batches(1)[0]
    mistakes = Mistakes()
    mistakes.add(batch._replace(labels=batch.predicted.astype(np.int32)))
    assert mistakes.result() == []
    assert mistakes.images == []
