"""Faults that are put in on purpose, at each call in turn."""
