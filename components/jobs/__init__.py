"""Beam jobs over a source: their runner, their worker processes, what they leave behind."""

import logging

# Beam warns of a BigQuery client, and of a way to measure a model's memory, that it does not find
# and that nothing here asks for.
NOT_ASKED_FOR = ("apitools", "Resource module")
logging.getLogger().addFilter(
    lambda record: not any(word in record.getMessage() for word in NOT_ASKED_FOR)
)
