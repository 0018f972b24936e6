"""A try-out server: the registry's champion by TensorFlow Serving's REST form, and a page."""
