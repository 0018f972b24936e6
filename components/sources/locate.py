"""The files that an address names, wherever they lie."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from pyarrow import fs

from components.config import Reading
from components.shared.addresses import joined, redacted
from components.shared.errors import StepError, explain
from components.sources import content
from components.sources.download import Download
from components.sources.fake_source import SCHEME
from components.sources.filesystem import open_filesystem
from components.sources.selection import DATE, days_until, is_pattern, root_of, select

WEB = ("https://", "http://")
BUCKET = "gs://"
SCHEMES = (SCHEME, BUCKET, *WEB)
LOOK = timedelta(seconds=10)  # what a look whether something is there may take of a server

# The names that a web server, which does not list its files, is asked for.
_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_FORMS = ("{part}-idx{n}-ubyte.gz", "{part}-idx{n}-ubyte", "{part}.idx{n}-ubyte")
_BESIDE = ("MD5SUMS", "SHA256SUMS")


class NothingThereError(StepError):
    """A place is there, and no file in it."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a source."""

    filesystem: fs.FileSystem
    path: str  # there
    root: str  # of the directory that the source names
    size: int  # bytes
    address: str = ""  # as it may be shown, of a file that was fetched from elsewhere
    within: str = ""  # its path below that directory, where it was put elsewhere

    @property
    def name(self) -> str:
        """What the user calls it, for messages."""
        bucket = isinstance(self.filesystem, fs.GcsFileSystem)
        return self.address or (f"{BUCKET}{self.path}" if bucket else self.path)

    @property
    def below(self) -> str:
        """Its path below the directory that the source names."""
        if self.within:
            return self.within
        if self.address:
            return self.address.removesuffix("?…").rpartition("/")[2]
        return self.path[len(self.root) :].lstrip("/")

    def head(self, size: int = content.HEAD) -> bytes:
        """Its first bytes."""
        with self.filesystem.open_input_file(self.path) as file:
            return file.read_at(size, 0)


def check_scheme(source: str) -> None:
    """Sees that an address is of a kind that can be read.

    Raises:
        StepError: It is not.
    """
    scheme, separator, _ = source.partition("://")
    if separator and f"{scheme}://" not in SCHEMES:
        raise StepError(f"{source}: expected a path, or an address with {', '.join(SCHEMES)}")


def is_there(address: str) -> bool:
    """Whether an address names something, found without listing or fetching it.

    Of a pattern, that is the directory above; of a directory on the web, its training images.

    Raises:
        StepError: A server does not answer, or refuses.
    """
    if address.startswith(WEB):
        has = Download("").has
        return has(address, LOOK) or any(
            has(joined(address, name), LOOK) for name in _names(_PARTS[0])
        )
    filesystem, path = open_filesystem(address, LOOK / 2)  # a bucket is asked twice
    root = root_of(path)
    try:
        return not root or filesystem.get_file_info(root).type != fs.FileType.NotFound
    except OSError as error:  # pyarrow raises it for whatever a bucket answers
        raise StepError(f"{address}: {explain(error)}") from None


def find(config: Reading, source: str) -> list[File]:
    """Lists the files that an address names, in order, without hidden and temporary ones.

    Args:
        config: Which days, and where the cache is.
        source: A file, a directory, a pattern, or several of these with commas between.

    Raises:
        StepError: There is none.
    """
    parts = source.split(",")
    if len(parts) > 1 and not Path(source).exists():
        return [file for part in parts for file in _named(config, part.strip(), alone=False)]
    return _named(config, source, alone=True)


def fetched(file: File, cache: str) -> File:
    """Returns a file, from the cache on disk if it is in a bucket."""
    if not file.name.startswith(BUCKET):
        return file
    path = Download(cache)(file.name)
    if path is None:
        raise StepError(f"{file.name}: not found any more")
    return replace(_fetched(path, file.name), within=file.below)


def _fetched(path: Path, address: str) -> File:
    return File(fs.LocalFileSystem(), str(path), "", path.stat().st_size, redacted(address))


def _named(config: Reading, source: str, alone: bool) -> list[File]:
    if source.startswith(WEB):
        return _on_the_web(source, Download(config.cache))
    filesystem, path = open_filesystem(source)
    days = days_until(config.span, config.until) if DATE in path else None
    if is_pattern(path):
        root, found = select(filesystem, path, days)
        within = f" from {days[0]} to {days[1]}" if days else ""
        if not found:
            raise NothingThereError(
                f"{source}: no files{within}; expected some to match the pattern"
            )
        return [File(filesystem, info.path, root, info.size) for info in found]
    info = filesystem.get_file_info(path)
    parent = path.rpartition("/")[0]
    if info.is_file:
        return [File(filesystem, path, parent, info.size)]
    if info.type != fs.FileType.Directory:
        raise StepError(f"{source}: not found, expected a directory or a file with images")
    root, found = select(filesystem, f"{path}/**/*", None)
    if not found:
        raise NothingThereError(f"{source}: no files, expected some with images")
    root = root if alone else parent
    return [File(filesystem, info.path, root, info.size) for info in found]


def _on_the_web(address: str, download: Download) -> list[File]:
    """A file, or the IDX files of a directory; an address that ends as a file is tried as one."""
    is_file = "." in redacted(address).removesuffix("?…").partition("//")[2].partition("/")[2]
    for attempt in (_one, _idx) if is_file else (_idx, _one):
        if found := attempt(address, download):
            return found
    forms = " or ".join(form.format(part=_PARTS[0], n=3) for form in _FORMS)
    raise StepError(f"{address}: not found, neither as a file nor as a directory with {forms}")


def _one(address: str, download: Download) -> list[File]:
    path = download(address)
    return [_fetched(path, address)] if path else []


def _idx(directory: str, download: Download) -> list[File]:
    found: list[File] = []
    for part in _PARTS:
        names = _names(part)
        # Those who publish under one form of the names use it for all.
        names.sort(key=lambda name: not found or _ending(name) != _ending(found[0].below))
        addresses = (joined(directory, name) for name in names)
        files = next(filter(None, (_one(address, download) for address in addresses)), None)
        if not files and not found:
            return []
        found += files or []
    beside = (_one(joined(directory, name), download) for name in _BESIDE)
    return found + next(filter(None, beside), [])


def _names(part: str) -> list[str]:
    return [form.format(part=part, n=3 if "images" in part else 1) for form in _FORMS]


def _ending(name: str) -> str:
    return name.rpartition("-ubyte")[2] + ("dot" if ".idx" in name else "")
