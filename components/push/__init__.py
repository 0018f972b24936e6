"""A blessed SavedModel to a registry."""
