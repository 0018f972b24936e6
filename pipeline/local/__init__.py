"""A pipeline run on this machine, with ``kfp.local``."""
