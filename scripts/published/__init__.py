"""Random weights in the layout of the published files: the same folders, names and shapes."""
