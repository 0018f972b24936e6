"""The exit handler: how a run ended, whether it succeeded or failed."""
