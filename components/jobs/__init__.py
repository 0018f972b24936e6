"""Beam jobs over a source: their runner, their worker processes, what they leave behind."""

import logging

# Beam warns on import of a BigQuery client that it does not find and that nothing here asks for.
logging.getLogger().addFilter(lambda record: "apitools" not in record.getMessage())
