"""Where images come from: every form of source, and how each is read by ranges."""
