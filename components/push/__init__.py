"""A blessed SavedModel to a registry in TensorFlow Serving's layout."""
