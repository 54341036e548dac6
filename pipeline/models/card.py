"""Model cards: what is known of a model without loading it."""
