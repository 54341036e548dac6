"""Webhooks: events that are made with the end of a job, kept until delivered, and what signs them."""
