"""New images to what a published model says of them, with Beam."""
