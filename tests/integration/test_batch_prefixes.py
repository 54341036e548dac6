"""Prefixes of batches: every object below them becomes an item once, whoever stops or comes twice meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import boto3
import pytest

from storage.batches.expanding import BatchExpander
from storage.objects.foreign import ForeignBuckets
from storage.objects.s3_access import S3Access
from tests.fakes.s3_server import s3_server
from tests.integration.api_bed import Api, served_app, settings_for
from tests.integration.batch_bed import counted, duty_of, execute, items_of, look, sent, url_items
from tests.integration.racing import together
from workers.dispatcher.prefixes import Prefixes
from workers.dispatcher.sources import BucketRule, RemoteSources
from workers.fetch_url import FetchRules, UrlFetcher


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


class Archive:
    """A foreign bucket, and the duty that lists it."""

    def __init__(self, url: str, api: Api) -> None:
        self.name = f"archive-{uuid4().hex[:8]}"
        self._client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self._client.create_bucket(Bucket=self.name)
        self._access = S3Access(endpoint_url=url, access_key="test", secret_key="test")
        self._database = api.services.database
        self.now = 0.0

    def put(self, *keys: str) -> None:
        for key in keys:
            self._client.put_object(Bucket=self.name, Key=key, Body=b"x")

    def sources(self, *rules: str, own: str | None = None, endpoint: str | None = None) -> RemoteSources:
        access = replace(self._access, endpoint_url=endpoint or self._access.endpoint_url)
        buckets = [BucketRule.parse(rule) for rule in rules or (self.name,)]
        return RemoteSources(
            UrlFetcher(FetchRules(max_bytes=1000)), ForeignBuckets(access), buckets=buckets, own_bucket=own
        )

    def duty(self, listing: Any = None, **options: Any) -> Prefixes:
        return Prefixes(
            BatchExpander(self._database), listing or self.sources(), clock=lambda: self.now, patience_seconds=60,
            **options,
        )  # fmt: skip

    def prefix(self, path: str) -> str:
        return f"s3://{self.name}/{path}"


class Counted:
    """Real listings, counted, and broken off when a test wants it."""

    def __init__(self, sources: RemoteSources, stop_after: int = 1_000_000) -> None:
        self._sources = sources
        self._stop_after = stop_after
        self.pages = 0

    def list(self, prefix: str, tenant: str, *, after: str | None, limit: int) -> list[str]:
        if self.pages >= self._stop_after:
            raise KeyboardInterrupt
        self.pages += 1
        return self._sources.list(prefix, tenant, after=after, limit=limit)


@pytest.fixture
def archive(s3_url: str, api: Api) -> Archive:
    return Archive(s3_url, api)


def test_every_object_below_a_prefix_becomes_a_job(api: Api, archive: Archive) -> None:
    archive.put("2026/a.jpg", "2026/b c.jpg", "2026/sub/d.jpg", "2025/no.jpg", "2026/folder/")
    batch = sent(api, [*url_items(1), {"prefix": archive.prefix("2026/"), "priority": "low"}, *url_items(1, first=1)])
    assert counted(api, batch["id"]) == {"total": 3, "waiting": 3}
    archive.duty().run_pass()
    assert counted(api, batch["id"]) == {"total": 5, "waiting": 5}
    duty_of(api.services.database).run_pass()
    items = items_of(api, batch["id"])
    assert [(item["index"], item["part"]) for item in items] == [(0, 0), (1, 1), (1, 2), (1, 3), (2, 0)]
    assert [item["key"] for item in items[1:4]] == [
        archive.prefix(path) for path in ("2026/a.jpg", "2026/b c.jpg", "2026/sub/d.jpg")
    ]
    job = api.get(f"/v1/jobs/{items[2]['job_id']}").get_json()
    assert (job["input"]["source_url"], job["input"]["filename"]) == (archive.prefix("2026/b c.jpg"), "b c.jpg")
    assert (job["priority"], job["state"]) == ("low", "uploading")
    assert counted(api, batch["id"]) == {"total": 5, "uploading": 5}


def test_below_a_key_of_its_own_objects_are_called_by_their_path(api: Api, archive: Archive) -> None:
    archive.put("x/a.jpg", "x/b.jpg")
    batch = sent(
        api, [{"key": "cam/a.jpg", "url": "https://example.org/a"}, {"key": "cam", "prefix": archive.prefix("x/")}]
    )
    archive.duty().run_pass()
    assert [(item["key"], item["state"]) for item in items_of(api, batch["id"])] == [
        ("cam/a.jpg", "waiting"), ("cam/a.jpg", "rejected"), ("cam/b.jpg", "waiting")
    ]  # fmt: skip
    assert look(api, batch["id"])["errors"][0]["error"]["code"] == "item.duplicate"


def test_a_dispatcher_that_ends_between_pages_is_followed_by_another(api: Api, archive: Archive) -> None:
    archive.put(*(f"p/{number:03d}" for number in range(25)))
    batch = sent(api, [{"prefix": archive.prefix("p/")}])
    with pytest.raises(KeyboardInterrupt):
        archive.duty(Counted(archive.sources(), stop_after=2), page=10).run_pass()
    assert counted(api, batch["id"])["total"] == 21
    rest = Counted(archive.sources())
    archive.duty(rest, page=10).run_pass()
    assert rest.pages == 1
    items = items_of(api, batch["id"])
    assert [item["key"] for item in items] == [archive.prefix(f"p/{number:03d}") for number in range(25)]
    assert counted(api, batch["id"]) == {"total": 25, "waiting": 25}


def test_two_dispatchers_that_list_the_same_prefix_make_each_item_once(api: Api, archive: Archive) -> None:
    archive.put(*(f"p/{number:03d}" for number in range(60)))
    batch = sent(api, [{"prefix": archive.prefix("p/")}])
    duties = [archive.duty(page=7) for _ in range(2)]
    together(*[duty.run_pass for duty in duties])
    assert [item["part"] for item in items_of(api, batch["id"])] == list(range(1, 61))
    assert counted(api, batch["id"]) == {"total": 60, "waiting": 60}


def test_a_batch_canceled_while_it_is_listed_takes_nothing_more(api: Api, archive: Archive) -> None:
    archive.put(*(f"p/{number:03d}" for number in range(25)))
    batch = sent(api, [{"prefix": archive.prefix("p/")}])
    with pytest.raises(KeyboardInterrupt):
        archive.duty(Counted(archive.sources(), stop_after=1), page=10).run_pass()
    (at,) = BatchExpander(api.services.database).expanding()
    api.post(f"/v1/batches/{batch['id']}/cancel")
    assert BatchExpander(api.services.database).page(at, ["p/010"], last=True) == 0
    archive.duty().run_pass()
    assert counted(api, batch["id"]) == {"total": 11, "canceled": 11}
    assert execute(api.services.database, "SELECT count(*) FROM jobs")[0][0] == 0


@pytest.mark.parametrize(
    ("rules", "own", "path", "code"),
    [
        (["other"], False, "2026/", "input.refused"),
        (["{name}"], True, "2026/", "input.refused"),
        (["{name}/2025/"], False, "2026/", "input.refused"),
        (["{name}/2026/"], False, "20", "input.refused"),
        (["stranger={name}"], False, "2026/", "input.refused"),
        (["{name}"], False, "2027/", "prefix.empty"),
        (["acme={name}/2026/"], False, "2026/", None),
    ],
)
def test_only_listed_buckets_are_listed_and_never_our_own(
    api: Api, archive: Archive, rules: list[str], own: bool, path: str, code: str | None
) -> None:
    archive.put("2026/a.jpg")
    batch = sent(api, [{"prefix": archive.prefix(path)}])
    sources = archive.sources(*(rule.format(name=archive.name) for rule in rules), own=archive.name if own else None)
    archive.duty(sources).run_pass()
    (item,) = items_of(api, batch["id"])
    assert (item["state"], (item["error"] or {}).get("code")) == ("rejected" if code else "waiting", code)
    duty_of(api.services.database).run_pass()
    assert look(api, batch["id"])["state"] == ("finished" if code else "running")


def test_a_bucket_that_is_not_there_is_gone(api: Api, archive: Archive) -> None:
    batch = sent(api, [{"prefix": "s3://no-such-bucket/x/"}])
    archive.duty(archive.sources("no-such-bucket")).run_pass()
    assert look(api, batch["id"])["errors"][0]["error"]["code"] == "input.gone"


def test_a_store_that_is_down_is_tried_again_and_given_up_in_the_end(api: Api, archive: Archive) -> None:
    archive.put("p/a")
    batch = sent(api, [{"prefix": archive.prefix("p/")}])
    down = archive.duty(archive.sources(archive.name, endpoint="http://127.0.0.1:9"))
    for archive.now in (0.0, 30.0):
        down.run_pass()
        assert counted(api, batch["id"]) == {"total": 1, "waiting": 1}
    archive.now = 100.0
    down.run_pass()
    assert look(api, batch["id"])["errors"][0]["error"]["code"] == "input.unreachable"


def test_a_prefix_is_taken_as_far_as_the_batch_has_room(
    s3_url: str, database_url: str, redis_url: str, tmp_path: Any
) -> None:
    settings = settings_for(database_url, redis_url, tmp_path / "objects", batch_items_max=8)
    with served_app(settings) as api:
        archive = Archive(s3_url, api)
        archive.put(*(f"p/{number}" for number in range(9)))
        batch = sent(api, [*url_items(2), {"prefix": archive.prefix("p/")}])
        archive.duty().run_pass()
        assert counted(api, batch["id"]) == {"total": 8, "waiting": 7, "rejected": 1}
        assert look(api, batch["id"])["errors"][0]["error"]["code"] == "batch.full"
