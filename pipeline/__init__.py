"""The inference library: path in, results out. Importing this package loads nothing else."""
