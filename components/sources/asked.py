"""What is asked of a source, whatever its form."""

from dataclasses import dataclass

from pyarrow import fs

from components.config import Ingest, Reading
from components.sources.pictures import Conversion


@dataclass(frozen=True)
class Asked:
    """What is asked of a source."""

    config: Reading
    unpacked: fs.FileSystem  # where files are unpacked to, for every worker to read
    labelled: bool = True  # whether records need labels; those without have the label -1

    @property
    def validation_size(self) -> int | None:
        """Records to split off for validation; None where splits are not asked for at all."""
        return self.config.validation_size if isinstance(self.config, Ingest) else None

    @property
    def conversion(self) -> Conversion:
        """What is done to every image."""
        height, _, width = self.config.resize.partition("x")
        size = (int(height), int(width)) if height else None
        return Conversion(self.config.grey, size, self.config.transpose)
