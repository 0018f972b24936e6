"""From an address to a source."""

from pyarrow import fs

from components.config import Ingest
from components.ingest.fake_source import SCHEME, open_fake
from components.ingest.filesystem import open_filesystem
from components.ingest.idx_source import open_idx
from components.ingest.parquet_source import is_parquet, open_parquet
from components.ingest.selection import DATE
from components.ingest.source import Source, check_bounds
from components.shared.addresses import shown
from components.shared.errors import StepError, explain

SCHEMES = (SCHEME, "gs://", "https://", "http://")


def open_source(config: Ingest, unpacked: fs.FileSystem) -> Source:
    """Opens the source that a configuration names.

    Args:
        config: The address, and what to take of it.
        unpacked: Where IDX files are unpacked to, for every worker to read.

    Raises:
        StepError: There is nothing to read there, it is damaged, or its images or classes are out
            of bounds.
    """
    source = _open(config, unpacked)
    check_bounds(shown(config.source), source)
    return source


def _open(config: Ingest, unpacked: fs.FileSystem) -> Source:
    source = config.source
    scheme, separator, _ = source.partition("://")
    if separator and f"{scheme}://" not in SCHEMES:
        raise StepError(
            f"{shown(source)}: expected a path, or an address with {', '.join(SCHEMES)}"
        )
    if config.span and DATE not in source:
        raise StepError(f"{shown(source)}: --span {config.span} needs {DATE} in --source")
    if source.startswith(SCHEME):
        return open_fake(source)
    if not source.startswith(("http://", "https://")):
        filesystem, path = open_filesystem(source)
        try:
            if is_parquet(source, filesystem, path):
                return open_parquet(
                    source, filesystem, path, config.validation_size, config.span, config.until
                )
        except OSError as error:  # pyarrow raises it for whatever a bucket answers
            raise StepError(f"{shown(source)}: {explain(error)}") from None
    return open_idx(source, config.validation_size, config.cache, unpacked)
