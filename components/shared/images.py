"""The name of the image a step runs in, until the cluster's settings give it another."""

IMAGE = "mnist-pipeline-{step}:latest"


def image(step: str) -> str:
    """Returns the default name of a step's image."""
    return IMAGE.format(step=step)
