"""``statistics.html``: what is in a dataset, as a page that needs nothing but itself."""

import base64
import io

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from pyarrow import fs

from components.shared.manifests import Dataset
from components.shared.records import CLASSES, IMAGE_SHAPE, decode

FILE = "statistics.html"
SAMPLES = 14  # of each label
READ = 1 << 20  # bytes of a split's first shard, to take the samples from


def render(dataset: Dataset, directory: fs.FileSystem) -> str:
    """Renders the page of a dataset whose shards are written."""
    environment = Environment(
        loader=PackageLoader("components.ingest", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    samples = {name: _samples(dataset, name, directory) for name in dataset.splits}
    template = environment.get_template("statistics.html.j2")
    return template.render(dataset=dataset, samples=samples, classes=range(CLASSES))


def _samples(dataset: Dataset, split: str, directory: fs.FileSystem) -> str:
    """The first digits of a split, a row a label, as a PNG in base64; empty where it has none."""
    first = next((shard for shard in dataset.splits[split].shards if shard.records), None)
    if first is None:
        return ""
    with directory.open_input_file(first.file) as file:
        images, labels = decode(file.read(READ))
    grid = np.zeros((CLASSES, SAMPLES, *IMAGE_SHAPE), np.uint8)
    for label in range(CLASSES):
        some = images[labels == label][:SAMPLES]
        grid[label, : len(some)] = some
    picture = grid.transpose(0, 2, 1, 3).reshape(CLASSES * IMAGE_SHAPE[0], -1)
    packed = io.BytesIO()
    Image.fromarray(picture).save(packed, "PNG")
    return base64.b64encode(packed.getvalue()).decode()
