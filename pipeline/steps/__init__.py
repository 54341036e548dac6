"""Counting steps: ``StepCounter`` for readings as they come, methods, training and evaluation."""

from pipeline.steps.counter import StepCounter

__all__ = ["StepCounter"]
