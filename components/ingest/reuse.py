"""A dataset that an earlier run made of the same source: taken as it is, instead of made again."""

import os
import shutil
from pathlib import Path
from typing import Any

from components.shared.addresses import redacted
from components.shared.errors import StepError, log_line
from components.shared.manifests import SPLITS, Dataset
from components.shared.shards import Shards
from components.shared.storage import files_of
from components.sources.source import Source


def take(
    earlier: Path, source: Source, address: str, options: dict[str, Any], output: Path
) -> Dataset | None:
    """Links an earlier dataset's files into a directory, if they are what ingest would write there.

    They are where the source has the same content, is read with the same options, and every shard
    has the sum that the manifest says.

    Args:
        earlier: The dataset, on the same disk.
        source: What is to be read.
        address: Where it is.
        options: As the manifest has them.
        output: The directory to fill.

    Returns:
        Its manifest; None where it is another dataset or damaged, which is logged.
    """
    try:
        dataset = Dataset.read(earlier)
        found = (dataset.source, dataset.options, dataset.source_fingerprint)
        if found != (redacted(address), options, source.fingerprint):
            log_line(f"{earlier}: the source or its options have changed since; ingesting anew")
            return None
        for split in SPLITS:
            Shards.of(dataset, earlier, split).check()
        files = files_of(earlier)
    except (StepError, OSError) as error:
        log_line(f"warning: an earlier dataset is not taken: {error}")
        return None
    for name, path in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, output / name)
        except OSError:  # a file system without links
            shutil.copy2(path, output / name)
    log_line(f"Same source, options and sums: taken from {earlier}; --fresh ingests anew")
    return dataset
