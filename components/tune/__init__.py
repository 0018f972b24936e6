"""Tune: many trainings with different settings, of which the best on validation is taken."""
