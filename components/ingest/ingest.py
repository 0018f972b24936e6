"""The Beam pipeline from a source's ranges to TFRecord shards."""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from components.ingest.source import IdxSource, Range, open_source
from components.shared.errors import StepError
from components.shared.manifests import SPLITS, Dataset, Rejected, Shard, Split
from components.shared.records import CLASSES, IMAGE_SHAPE, encode
from components.shared.storage import whole_directory
from pipeline.config import Ingest


@dataclass(frozen=True)
class Written:
    """What a worker tells of the shard it wrote."""

    part: Range
    shard: Shard
    labels: list[int]  # records of each label
    rejected: list[Rejected]


class WriteShard(beam.DoFn):
    """Reads one range of the source and writes it as one TFRecord shard.

    An element is a whole range: one element an image costs more in Beam than the work itself.
    """

    def __init__(self, source: IdxSource, output: str) -> None:
        self.source = source
        self.output = output

    def process(self, part: Range) -> Iterable[Written]:
        """Writes the shard and yields what is in it."""
        images, labels = self.source.read(part)
        usable = labels < CLASSES
        data = encode(images[usable], labels[usable])
        path = Path(self.output) / part.file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        counts = np.bincount(labels[usable], minlength=CLASSES)
        yield Written(
            part,
            Shard(
                file=part.file,
                records=int(usable.sum()),
                sha256=hashlib.sha256(data).hexdigest(),
            ),
            counts.tolist(),
            [
                Rejected(
                    split=part.split,
                    where=self.source.where(part, int(record)),
                    reason=f"label {labels[record]}, expected 0 to {CLASSES - 1}",
                )
                for record in np.flatnonzero(~usable)
            ],
        )


def ingest(config: Ingest, output: Path, beam_arguments: Sequence[str] = ()) -> Dataset:
    """Writes a source's splits as TFRecord shards with their manifest.

    Args:
        config: What to read and how to cut it.
        output: The examples directory; it appears whole or not at all.
        beam_arguments: Beam's own flags, handed to the runner unchanged.

    Returns:
        The manifest, also in ``output``.

    Raises:
        StepError: The source is unusable, or more records than allowed are.
    """
    with whole_directory(output, Dataset.FILE) as directory:
        with tempfile.TemporaryDirectory(prefix=".source-", dir=directory) as scratch:
            source = open_source(config.source, config.validation_size, Path(scratch))
            _run(source, source.ranges(config.shard_size), config, directory, beam_arguments)
        dataset = Dataset.read(directory)
        _check(dataset, config.max_rejected)
    _tell(dataset)
    return dataset


def _tell(dataset: Dataset) -> None:
    written = ", ".join(f"{name} {split.records:,}" for name, split in dataset.splits.items())
    print(f"Wrote {written} examples; {len(dataset.rejected):,} rejected", flush=True)


def _run(
    source: IdxSource,
    ranges: list[Range],
    config: Ingest,
    directory: Path,
    beam_arguments: Sequence[str],
) -> None:
    def write_manifest(written: list[Written]) -> None:
        written.sort(key=lambda w: (SPLITS.index(w.part.split), w.part.shard))
        Dataset(
            image_shape=IMAGE_SHAPE,
            classes=CLASSES,
            source=config.source,
            source_fingerprint=source.fingerprint,
            splits={name: _split(written, name) for name in SPLITS},
            rejected=[rejected for w in written for rejected in w.rejected],
        ).write(directory)

    # Beam's own default runner first tries to download another one; a flag given later wins.
    flags = ["--runner=FnApiRunner", *beam_arguments]
    with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        _ = (
            pipeline
            | "Ranges" >> beam.Create(ranges, reshuffle=True)
            | "WriteShards" >> beam.ParDo(WriteShard(source, str(directory)))
            | "Gather" >> beam.combiners.ToList()
            | "WriteManifest" >> beam.Map(write_manifest)
        )


def _split(written: list[Written], name: str) -> Split:
    parts = [w for w in written if w.part.split == name]
    return Split(
        records=sum(w.shard.records for w in parts),
        rejected=sum(len(w.rejected) for w in parts),
        labels=np.sum([w.labels for w in parts], axis=0).tolist(),
        shards=[w.shard for w in parts],
    )


def _check(dataset: Dataset, max_rejected: float) -> None:
    total = sum(s.records + s.rejected for s in dataset.splits.values())
    if len(dataset.rejected) <= max_rejected * total:
        return
    first = "; ".join(f"{r.where}: {r.reason}" for r in dataset.rejected[:3])
    raise StepError(
        f"{first}: {len(dataset.rejected)} of {total} records unusable, expected at most the share "
        f"{max_rejected:g} of --max-rejected"
    )
