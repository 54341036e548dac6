"""What skipping frames costs in answers: ``python -m bench.skipping``."""
