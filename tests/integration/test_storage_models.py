"""Versions of models in PostgreSQL: which is active, what a job is pinned to, and who checks what."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from storage.database import Database
from storage.errors import ModelInactive, ModelUnknown, StateConflict
from storage.ids import new_id
from storage.job import JobState
from storage.model_checks import CHECK_TRIES, CheckResult, ModelChecks
from storage.model_rows import NewVersion
from storage.models import Models
from storage.objects.keys import model_key, owner_id
from storage.upkeep import Upkeep
from tests.fakes.sql_queue import SqlQueue
from tests.integration.racing import together

PASSED = CheckResult(measured={"here/cpu": {"seconds": 0.5}})
BROKEN = CheckResult(error={"code": "model.failed", "message": "no graph in it"})


def version(number: str, digest: str = "", **fields: Any) -> NewVersion:
    return NewVersion("helmets", number, digest or f"digest of {number}", "detect", {"version": number}, **fields)


def added(models: Models, number: str, digest: str = "") -> None:
    _, fresh = models.add(version(number, digest, object_key=model_key(new_id(), number), size_bytes=1))
    assert fresh


def active(models: Models) -> list[str]:
    return [row.version for row in models.list() if row.active]


def checked(database: Database, worker: str = "w", result: CheckResult = PASSED) -> str:
    checks = ModelChecks(database)
    found = checks.take(worker, ["detect"])
    assert found is not None
    assert checks.settle(worker, found, result)
    return found.version


@pytest.fixture
def queue(database: Database) -> SqlQueue:
    made = SqlQueue(database)
    made.register("w")
    return made


def test_of_many_workers_that_register_at_once_one_version_is_active(database: Database) -> None:
    models = Models(database)
    together(*(partial(models.register, version(number)) for number in ("1", "2", "3")))
    assert len(active(models)) == 1
    models.activate("helmets", "2")
    models.activate("helmets", "2")
    assert active(models) == ["2"]
    with pytest.raises(ModelUnknown):
        models.activate("helmets", "9")
    models.register(version("2"))
    with pytest.raises(StateConflict, match="digest"):
        models.register(version("2", "changed"))
    assert active(models) == ["2"]


def test_a_new_version_in_the_folder_takes_over_and_one_that_came_over_http_does_not_give_way(queue: SqlQueue) -> None:
    models = Models(queue.database)
    models.register(version("1"))
    models.register(version("2"))
    models.register(version("1"))  # a worker that still has the old folder
    assert active(models) == ["2"]
    added(models, "3")
    checked(queue.database)
    models.activate("helmets", "3")
    models.register(version("4"))
    assert active(models) == ["3"]


def test_a_worker_with_the_weights_tells_the_digest_that_one_without_could_not(database: Database) -> None:
    models = Models(database)
    models.register(NewVersion("helmets", "1", "", "detect", {}))
    models.register(NewVersion("helmets", "1", "abc", "detect", {}))
    models.register(NewVersion("helmets", "1", "", "detect", {}))
    assert models.pins(["helmets"]) == {"helmets": {"version": "1", "digest": "abc"}}


def test_an_added_version_serves_only_once_a_worker_has_checked_it(queue: SqlQueue) -> None:
    models = Models(queue.database)
    added(models, "1")
    with pytest.raises(ModelInactive, match="may serve yet"):
        models.pins(["helmets"])
    with pytest.raises(ModelInactive, match="not checked yet"):
        models.activate("helmets", "1")
    assert ModelChecks(queue.database).take("w", ["classify"]) is None
    assert checked(queue.database) == "1"
    assert models.pins(["helmets", "unheard-of"]) == {"helmets": {"version": "1", "digest": "digest of 1"}}
    (row,) = models.versions("helmets")
    assert (row.state, row.measured) == ("checked", {"here/cpu": {"seconds": 0.5}})


def test_a_refused_version_leaves_the_active_one_alone_and_may_be_added_again(queue: SqlQueue) -> None:
    models = Models(queue.database)
    models.register(version("1"))
    added(models, "2", "broken")
    with pytest.raises(StateConflict, match="other weights"):
        models.add(version("2", "mended"))
    checked(queue.database, result=BROKEN)
    with pytest.raises(ModelInactive, match="no graph in it"):
        models.activate("helmets", "2")
    assert active(models) == ["1"]
    added(models, "2", "mended")
    assert checked(queue.database) == "2"
    assert active(models) == ["1"]
    assert models.activate("helmets", "2").digest == "mended"


def test_rollback_goes_back_step_by_step_through_what_was_active(queue: SqlQueue) -> None:
    models = Models(queue.database)
    for number in ("1", "2", "3"):
        models.register(version(number))
    assert [models.rollback("helmets").version for _ in range(2)] == ["2", "1"]
    with pytest.raises(StateConflict, match="was active before"):
        models.rollback("helmets")
    models.activate("helmets", "3")
    assert models.rollback("helmets").version == "1"
    with pytest.raises(ModelUnknown):
        models.rollback("none")


def test_a_check_is_one_workers_until_that_worker_is_gone(queue: SqlQueue) -> None:
    models, checks = Models(queue.database), ModelChecks(queue.database)
    queue.register("other")
    added(models, "1")
    found = checks.take("w", ["detect"])
    assert found is not None
    assert checks.take("other", ["detect"]) is None
    queue.fleet.leave("w")
    assert checks.take("other", ["detect"]) == found
    assert not checks.settle("w", found, BROKEN)
    assert checks.settle("other", found, PASSED)
    assert active(models) == ["1"]


def test_weights_that_end_their_worker_again_and_again_are_refused(queue: SqlQueue) -> None:
    models, checks = Models(queue.database), ModelChecks(queue.database)
    added(models, "1")
    for _ in range(3):  # a worker that stops charges nothing
        found = checks.take("w", ["detect"])
        assert found is not None
        checks.give_back("w", found)
    for number in range(CHECK_TRIES):
        queue.register(f"w{number}")
        assert checks.take(f"w{number}", ["detect"]) is not None
        assert checks.take(f"w{number}", ["detect"]) is not None  # it lives, so it is not charged again
        queue.fleet.leave(f"w{number}")
    assert checks.take("w", ["detect"]) is None
    (row,) = models.versions("helmets")
    assert (row.state, row.error and row.error["code"]) == ("refused", "model.check_died")


def test_a_replay_keeps_its_pins_unless_its_parameters_change(queue: SqlQueue) -> None:
    old, new = ({"helmets": {"version": number, "digest": f"d{number}"}} for number in ("1", "2"))
    job_id = queue.add_job(pins=old, batch_key="old")
    claim = queue.claim("w", lanes=["cpu"], size_classes=["short"], serves=[("motion", 1)], limit=1)
    assert claim is not None
    assert claim.segments[0].pins == old
    for params, pins in (({"stride": 5}, old), ({"stride": 7}, new)):
        queue.store.cancel(job_id)
        job = queue.store.replay(job_id, params=params, batch_key="new", pins=new)
        assert (job.state, job.pins) == (JobState.QUEUED, pins)
    queue.store.cancel(job_id)
    assert queue.store.replay(job_id).pins == new


def test_weights_are_swept_only_when_no_version_names_them(queue: SqlQueue) -> None:
    models = Models(queue.database)
    kept, litter = model_key(new_id(), "a" * 64), model_key(new_id(), "a" * 64)
    models.add(version("1", "a" * 64, object_key=kept))
    assert Upkeep(queue.database).unowned({key: owner_id(key) for key in (kept, litter)}) == [litter]
