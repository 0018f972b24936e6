"""A registry of published models in TensorFlow Serving's layout, on disk or in a bucket."""
