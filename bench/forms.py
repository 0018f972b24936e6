"""The same images in every form that ingest reads, each written by the tool it comes from.

python -m bench.forms out/forms    the first digits of MNIST, to try every form
"""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pyarrow import csv

from bench.mnist import read
from components.shared.command_line import exit_on_error
from components.shared.records import Images, Labels, encode
from components.shared.storage import atomic_directory

SHARD = 10_000  # records of a TFRecord file
DAYS = ("2026-11-21", "2026-11-22", "2026-11-23")


def idx(directory: Path, images: Images, labels: Labels) -> None:
    """Gzip, as MNIST is published."""
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = (0x0800 | array.ndim).to_bytes(4, "big")
        header += b"".join(side.to_bytes(4, "big") for side in array.shape)
        content = gzip.compress(header + array.tobytes(), 6)
        (directory / f"all-{name}-ubyte.gz").write_bytes(content)


def npz(directory: Path, images: Images, labels: Labels) -> None:
    """As Keras ships MNIST."""
    np.savez_compressed(directory / "mnist.npz", x=images, y=labels)


def npy(directory: Path, images: Images, labels: Labels) -> None:
    """An array a file."""
    np.save(directory / "x.npy", images)
    np.save(directory / "y.npy", labels)


def csv_lines(directory: Path, images: Images, labels: Labels) -> None:
    """As Kaggle's digit recognizer."""
    pixels = images.reshape(len(images), -1)
    columns = {"label": labels} | {f"pixel{n}": pixels[:, n] for n in range(pixels.shape[1])}
    options = csv.WriteOptions(quoting_header="none")
    csv.write_csv(pa.table(columns), directory / "all.csv", options)


def parquet_pixels(directory: Path, images: Images, labels: Labels) -> None:
    """A binary column of pixels."""
    rows = pa.array([image.tobytes() for image in images], pa.binary(images[0].size))
    _parquet(directory / "all.parquet", rows, labels)


def parquet_png(directory: Path, images: Images, labels: Labels) -> None:
    """As Hugging Face has MNIST."""
    pq.write_table(_encoded(images, labels), directory / "all.parquet", row_group_size=5_000)


def days(directory: Path, images: Images, labels: Labels) -> None:
    """Parquet as a delivery a day brings it."""
    for number, day in enumerate(DAYS):
        (directory / day).mkdir()
        parquet_png(directory / day, images[number :: len(DAYS)], labels[number :: len(DAYS)])


def tfrecord(directory: Path, images: Images, labels: Labels) -> None:
    """As ingest itself writes it."""
    for start in range(0, len(images), SHARD):
        some = slice(start, start + SHARD)
        path = directory / f"all-{start // SHARD:03}.tfrecord"
        path.write_bytes(encode(images[some], labels[some]))


def folders(directory: Path, images: Images, labels: Labels) -> None:
    """A folder of PNG files a class."""
    for name, content in _named(images, labels):
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def zipped(directory: Path, images: Images, labels: Labels) -> None:
    """The same folders in a zip."""
    with zipfile.ZipFile(directory / "all.zip", "w") as packed:
        for name, content in _named(images, labels):
            packed.writestr(name, content)


def tarred(directory: Path, images: Images, labels: Labels) -> None:
    """The same folders in a tar."""
    with tarfile.open(directory / "all.tar", "w") as packed:
        for name, content in _named(images, labels):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))


def arrow(directory: Path, images: Images, labels: Labels) -> None:
    """As ``save_to_disk`` of Hugging Face's datasets."""
    table = _encoded(images, labels)
    path = directory / "data-00000-of-00001.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, 1_000)
    (directory / "dataset_info.json").write_text("{}")
    (directory / "state.json").write_text("{}")


def with_a_table(directory: Path, images: Images, labels: Labels) -> None:
    """Pictures in one folder, and a table of their names and labels."""
    for number, content in enumerate(_pngs(images)):
        (directory / f"{number:06}.png").write_bytes(content)
    rows = [f"{number:06}.png,{label}\n" for number, label in enumerate(labels)]
    (directory / "metadata.csv").write_text("".join(["file_name,label\n", *rows]))


def webdataset(directory: Path, images: Images, labels: Labels) -> None:
    """A tar of pictures, each with a file of its label."""
    with tarfile.open(directory / "all.tar", "w") as packed:
        for number, (content, label) in enumerate(zip(_pngs(images), labels, strict=True)):
            for suffix, data in (("png", content), ("cls", b"%d" % label)):
                info = tarfile.TarInfo(f"{number:06}.{suffix}")
                info.size = len(data)
                packed.addfile(info, io.BytesIO(data))


# By the directory that each gets.
FORMS: dict[str, Callable[[Path, Images, Labels], None]] = {
    "idx": idx,
    "npz": npz,
    "npy": npy,
    "csv": csv_lines,
    "parquet-pixels": parquet_pixels,
    "parquet": parquet_png,
    "days": days,
    "arrow": arrow,
    "tfrecord": tfrecord,
    "pictures": folders,
    "zip": zipped,
    "tar": tarred,
    "table": with_a_table,
    "webdataset": webdataset,
}


def _encoded(images: Images, labels: Labels) -> pa.Table:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": one} for one in _pngs(images)], kind)
    return pa.table({"image": rows, "label": pa.array(labels.astype(np.int64))})


def _parquet(path: Path, rows: pa.Array, labels: Labels) -> None:
    table = pa.table({"image": rows, "label": pa.array(labels.astype(np.int64))})
    pq.write_table(table, path, row_group_size=5_000)


def _pngs(images: Images) -> Iterator[bytes]:
    for image in images:
        packed = io.BytesIO()
        Image.fromarray(image).save(packed, "PNG")
        yield packed.getvalue()


def _named(images: Images, labels: Labels) -> Iterator[tuple[str, bytes]]:
    for number, (label, content) in enumerate(zip(labels, _pngs(images), strict=True)):
        yield f"{label}/{number:06}.png", content


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--images", default=2_500, show_default=True, help="How many, at most.")
def main(output: Path, images: int) -> None:
    """Write the first digits of MNIST in every form that ingest reads, a directory each."""
    with exit_on_error(), atomic_directory(output, marker="idx") as directory:
        digits = tuple(part[:images] for part in read("train"))
        for name, write in FORMS.items():
            (directory / name).mkdir()
            write(directory / name, *digits)
    click.echo(f"Wrote {len(digits[1]):,} images as {', '.join(FORMS)} to {output}")


if __name__ == "__main__":
    main()
