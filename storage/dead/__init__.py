"""Dead letters: jobs that ended badly, as operators find, replay and discard them."""
