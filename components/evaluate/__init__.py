"""A SavedModel to figures, a report, and the decision whether it may go out."""
