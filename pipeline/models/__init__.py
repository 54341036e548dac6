"""Model packages: cards, weights, runtimes, decoders."""
