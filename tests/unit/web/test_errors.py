"""The table of error codes."""

from __future__ import annotations

import re

import pytest

from pipeline.spec import ParamFault, ParamsInvalid
from storage import errors as storage_errors
from storage.errors import DatabaseUnavailable, JobNotFound, StorageError
from storage.objects.signing import BadSignature
from web.errors import PROBLEMS, Problem, problem_of


def every_storage_error(kind: type[StorageError] = StorageError) -> list[type[StorageError]]:
    return [kind, *(one for child in kind.__subclasses__() for one in every_storage_error(child))]


def test_codes_are_noun_dot_fault_with_an_error_status_and_a_title() -> None:
    for code, (status, title) in PROBLEMS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", code)
        assert 400 <= status < 600
        assert title[0].isupper()
        assert not title.endswith(".")


# Errors of its own that a module defines for another process (reading foreign buckets) are none of the web's.
TREE = [
    kind for kind in every_storage_error() if kind.__module__ == storage_errors.__name__ and kind is not StorageError
]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_of_the_storage_has_a_place_in_the_table(kind: type[StorageError]) -> None:
    assert problem_of(kind("reason")).code == kind.code


@pytest.mark.parametrize(
    ("error", "status", "code", "detail"),
    [
        (JobNotFound("no job 1"), 404, "job.unknown", "no job 1"),
        (DatabaseUnavailable("host db-1 refused"), 503, "database.unavailable", "nothing was acknowledged; try again"),
        (BadSignature("wrong"), 403, "signature.invalid", "wrong"),
        (ValueError("secret"), 500, "internal.error", "the request id leads to the log line"),
        (StorageError("secret"), 500, "internal.error", "the request id leads to the log line"),
        (Problem("media.empty", "nothing"), 422, "media.empty", "nothing"),
    ],
)
def test_an_exception_becomes_its_problem(error: Exception, status: int, code: str, detail: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.detail) == (status, code, detail)


def test_params_faults_keep_their_places() -> None:
    problem = problem_of(ParamsInvalid([ParamFault("/width", "too small"), ParamFault("/", "unknown")]))
    assert problem.faults == [
        {"path": "/params/width", "message": "too small"}, {"path": "/params", "message": "unknown"},
    ]  # fmt: skip


def test_a_document_leaves_out_what_is_not_there() -> None:
    assert Problem("media.empty").document() == {
        "type": "urn:framequeue:error:media.empty", "title": "The file is empty", "status": 422, "code": "media.empty",
    }  # fmt: skip
    assert Problem("scope.missing", scope="read").document()["scope"] == "read"


def test_unavailability_says_when_to_try_again() -> None:
    assert int(problem_of(storage_errors.ObjectStoreUnavailable("x")).headers["Retry-After"]) > 0
