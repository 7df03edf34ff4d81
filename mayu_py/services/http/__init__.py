"""HTTP: an RSGI front for the hot answers and the images, and Flask behind it for everything else."""
