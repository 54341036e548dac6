"""Inputs meant to hurt: mutations of sound ones, files that name other files, and how to try them in a cage."""
