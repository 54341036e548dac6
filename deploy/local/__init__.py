"""The embedded stack: the same engines as in production, without Docker and without root."""
