"""Where the records of a file start whose lengths differ, so that workers read ranges of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.shared.errors import StepError
from components.sources.locate import File


@dataclass(frozen=True)
class Blocks:
    """The blocks of a file: of equally many records each, but for the last."""

    file: File
    every: int  # records a block
    starts: tuple[int, ...]  # the first byte of each block, and the end of the last
    records: int
    sha256: str  # of the file

    def read(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        """Reads the blocks that records start … stop - 1 are in.

        Yields:
            Which records of the block are wanted, from and to, and the block's bytes.
        """
        with self.file.filesystem.open_input_file(self.file.path) as opened:
            for block in range(start // self.every, -(-stop // self.every)):
                low, high = self.starts[block], self.starts[block + 1]
                data = opened.read_at(high - low, low)
                if len(data) != high - low:
                    raise StepError(f"{self.file.name}: it changed while it was read")
                first = block * self.every
                yield max(start - first, 0), min(stop - first, self.every), data
