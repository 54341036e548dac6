"""Batches: many inputs that a client follows as one."""
