"""What a request that cannot be answered is told."""


class BadRequest(Exception):  # noqa: N818 - what HTTP calls it
    """A request that cannot be answered; the message says why."""
