"""The entry of gunicorn: ``gunicorn --config web/gunicorn.conf.py web.wsgi:app``.

Importing this module has no effect; asking for ``app`` reads the environment and puts the process together.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from apiflask import APIFlask

from web import access_log
from web.app import create_app
from web.settings import WebSettings


@cache
def _app() -> APIFlask:
    settings = WebSettings()  # type: ignore[call-arg]  # the environment gives them
    access_log.configure(settings.log_level, settings.log_format)
    return create_app(settings)


def __getattr__(name: str) -> Any:
    if name == "app":
        return _app()
    raise AttributeError(name)
