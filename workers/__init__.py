"""Delivery: Celery shims, the runner, the dispatcher."""
