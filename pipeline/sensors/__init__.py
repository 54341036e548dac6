"""Recordings of motion sensors: strict reading of CSV and JSON text, units, ranges. No decoder, no model."""
