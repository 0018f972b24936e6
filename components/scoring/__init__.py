"""What a SavedModel says of images."""
