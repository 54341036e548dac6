"""Pages for people: submit and watch a job, and try the API; no file comes from elsewhere."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from apiflask import APIBlueprint
from flask import Response, current_app, jsonify, render_template, send_from_directory

from web.auth import public
from web.errors import Problem

bp = APIBlueprint("pages", __name__, enable_openapi=False)

#: the files of Swagger UI that we serve; they come with a package, which is never imported
_VIEWER_FILES = frozenset({"css/swagger-ui.css", "js/swagger-ui-bundle.js"})


def viewer_folder() -> Path | None:
    """Where the viewer's files lie; None when the package is not installed."""
    found = find_spec("flask_openapi3_swagger")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "templates" / "swagger"


@bp.get("/")
@public
def index() -> str:
    """The page to submit and watch a job."""
    return render_template("index.html")


@bp.get("/docs")
@public
def docs() -> str:
    """The page to read and try the API."""
    return render_template("docs.html", viewer=viewer_folder() is not None)


@bp.get("/docs/viewer/<path:name>")
@public
def viewer(name: str) -> Response:
    """A file of the viewer."""
    folder = viewer_folder()
    if name not in _VIEWER_FILES or folder is None:
        raise Problem("route.unknown")
    response = send_from_directory(folder, name, max_age=86400)
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


@bp.get("/v1/openapi.json")
@public
def openapi() -> Response:
    """The description of the API, generated from the code."""
    return jsonify(current_app.extensions["framequeue_openapi"].get())
