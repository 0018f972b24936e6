"""Beam jobs over the ranges of a source: what workers do and report, their runner, their output."""
