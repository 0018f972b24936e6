"""Raw files to TFRecord splits, with Beam."""
