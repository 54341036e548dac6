"""Fetching as the worker does it."""

from __future__ import annotations

from workers.fetch_url import Fetched, FetchRules, UrlFetcher

KIB = 1024


def fetch(rules: FetchRules, url: str) -> tuple[Fetched, bytes]:
    with UrlFetcher(rules).open(url) as fetched:
        return fetched, fetched.body.read()
