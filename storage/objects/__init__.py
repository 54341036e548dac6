"""The object store: one port, S3 and a local folder behind it."""
