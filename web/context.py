"""What a view finds around the current request."""

from __future__ import annotations

from flask import current_app, g

from web.caller import Caller
from web.services import Services


def services() -> Services:
    """The collaborators of this process."""
    found = current_app.extensions["framequeue"]
    if not isinstance(found, Services):
        raise TypeError("create_app has not put the services in place")
    return found


def caller() -> Caller:
    """The caller of the current request."""
    found = g.caller
    if not isinstance(found, Caller):
        raise TypeError("this route is public: it has no caller")
    return found


def base_url() -> str:
    """Base of the URLs in answers, as clients see this API."""
    return services().settings.public_url.rstrip("/")
