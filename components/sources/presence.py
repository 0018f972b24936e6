"""Whether a source is there, told in seconds and before anything is made of it."""

from pathlib import Path

from components.shared.errors import StepError


def check_there(source: str) -> None:
    """Looks whether an address names something; whether that can be read, only ingest finds out.

    Args:
        source: As ingest takes it.

    Raises:
        StepError: Nothing is there, nothing can be of such an address, or the server that would
            know does not answer.
        OSError: This user may not look there.
    """
    if Path(source).exists():
        return
    # What is on disk, as most sources are, does not wait for these imports.
    from components.sources.fake_source import SCHEME, open_fake
    from components.sources.locate import check_scheme, is_there

    check_scheme(source)
    if source.startswith(SCHEME):
        open_fake(source)
        return
    for part in map(str.strip, source.split(",")):
        if not is_there(part):
            raise StepError(f"{part}: not found, expected a directory or a file with images")
