"""What only a cluster needs."""

from pipeline.config import IMAGE


def image(step: str) -> str:
    """Returns the image a step runs in."""
    return IMAGE.format(step=step)
