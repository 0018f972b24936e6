"""The tests, which mirror the packages."""

import components  # noqa: F401  it tells TensorFlow to be quiet before a test imports it
