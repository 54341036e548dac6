"""Rows and objects: jobs, segments, claims and the object store."""
