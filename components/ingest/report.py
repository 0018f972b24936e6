"""``statistics.html``: what is in a dataset, as a page that needs nothing but itself."""

import numpy as np
from PIL import Image
from pyarrow import fs

from components.shared import pages
from components.shared.code import this_code
from components.shared.manifests import Dataset
from components.shared.pages.pictures import data_uri
from components.shared.records import Images, decode

FILE = "statistics.html"
SAMPLES = 14  # of each class at most
WIDEST = 400  # pixels of a class's samples side by side
TALLEST = 64  # pixels of a sample; larger images are shown smaller
SEARCHED = 8  # records looked at in a shard for each sample wanted


def render(dataset: Dataset, directory: fs.FileSystem) -> str:
    """Renders the page of a dataset whose shards are written."""
    return pages.render(
        "components.ingest",
        "statistics.html.j2",
        dataset=dataset,
        code=str(this_code()),
        samples={
            name: [_strip(images) for images in _samples(dataset, name, directory)]
            for name in dataset.splits
        },
    )


def _samples(dataset: Dataset, name: str, directory: fs.FileSystem) -> list[Images]:
    """The first images of each class in a split, ``[n, height, width]``, as many as are shown."""
    split, (height, width) = dataset.splits[name], dataset.image_shape
    shown_width = width * min(1, TALLEST / max(height, width))
    most = int(max(1, min(SAMPLES, WIDEST // shown_width)))
    found = [np.empty((0, height, width), np.uint8) for _ in dataset.class_names]
    for shard in (shard for shard in split.shards if shard.records):
        wanted = [
            min(most, records) - len(some)
            for some, records in zip(found, split.labels, strict=True)
        ]
        if not any(wanted):
            break
        record = shard.bytes // shard.records
        with directory.open_input_file(shard.file) as file:
            data = file.read(SEARCHED * most * len(found) * record)
        images, labels = decode(data, dataset.image_shape)
        for label, count in enumerate(wanted):
            found[label] = np.concatenate([found[label], images[labels == label][:count]])
    return found


def _strip(images: Images) -> str:
    """Images side by side as a data URI; empty where there are none."""
    if not len(images):
        return ""
    count, height, width = images.shape
    picture = Image.fromarray(images.transpose(1, 0, 2).reshape(height, count * width))
    if (longest := max(height, width)) > TALLEST:
        scale = TALLEST / longest
        size = max(1, round(picture.width * scale)), max(1, round(height * scale))
        picture = picture.resize(size)
    return data_uri(picture)
