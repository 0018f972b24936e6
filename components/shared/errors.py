"""Errors meant for people."""


class StepError(Exception):
    """A step cannot go on, for a reason the user can mend.

    The message is one line: what is wrong, where, what was expected, what to do.
    """
