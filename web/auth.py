"""Who calls, and what they may do: API keys and a scope per route; a route without either is a fault of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Request, current_app, g, request

from storage.access import SCOPES
from web.caller import Caller
from web.errors import Problem
from web.services import Services

View = TypeVar("View", bound=Callable[..., Any])

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="framequeue"'}
#: scope of routes that anyone may call
PUBLIC = "public"


def scope(name: str) -> Callable[[View], View]:
    """Mark a view with the scope it needs; put it below the route decorator."""
    if name not in SCOPES:
        raise ValueError(f"no such scope: {name}")
    return _mark(name)


def public(view: View) -> View:
    """Mark a view as open to anyone."""
    return _mark(PUBLIC)(view)


def _mark(name: str) -> Callable[[View], View]:
    def mark(view: View) -> View:
        view.__dict__["scope"] = name
        return view

    return mark


def scope_of(endpoint: str) -> str | None:
    """Return the scope that an endpoint of the current app needs; None when nobody said."""
    if endpoint.endswith("static"):
        return PUBLIC
    return current_app.view_functions[endpoint].__dict__.get("scope")


def authenticate(services: Services) -> None:
    """Admit the current request or raise. Runs before any input is parsed.

    Raises: Problem (key.missing, key.invalid, scope.missing), DatabaseUnavailable.
    """
    if request.endpoint is None or request.method == "OPTIONS":
        return
    needed = scope_of(request.endpoint)
    if needed is None:
        raise RuntimeError(f"endpoint {request.endpoint} names neither a scope nor public")
    if needed == PUBLIC:
        return
    admit(services, needed)


def admit(services: Services, needed: str) -> None:
    """Find the caller of the current request and require a scope. Raises: as ``authenticate``."""
    key = services.keys.find(_secret_of(request))
    if key is None:
        raise Problem("key.invalid", "the key is wrong, expired or revoked", headers=_CHALLENGE)
    g.caller = Caller(key.tenant, key.id, key.scopes)
    if not g.caller.may(needed):
        raise Problem("scope.missing", f"this call needs a key with scope {needed}", scope=needed)


def _secret_of(incoming: Request) -> str:
    """The key a request carries; never in the URL."""
    header = incoming.headers.get("Authorization", "")
    scheme, _, value = header.partition(" ")
    secret = value.strip() if scheme.lower() == "bearer" else incoming.headers.get("X-API-Key", "").strip()
    if not secret:
        raise Problem(
            "key.missing", "send Authorization: Bearer fq_...", headers=_CHALLENGE, advice="python -m web.keys issue"
        )
    return secret
