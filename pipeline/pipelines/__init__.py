"""The built-in pipelines, one file each."""
