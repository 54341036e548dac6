"""What frames cost, against the price of decoding everything: ``python -m bench.decode``."""
