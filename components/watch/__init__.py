"""What came in beside what the model was trained on, and whether somebody should look."""
