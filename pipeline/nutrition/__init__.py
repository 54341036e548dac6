"""Nutrition: what is on the table, how much of it, and what that holds; every number with its range."""
