"""The dispatcher: lost claims, due work, doorbells, ingest of remote inputs, deletion. One file per duty."""
