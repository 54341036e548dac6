"""Objects of others' buckets are copied in where an operator listed them, and never our own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import boto3
import pytest

from storage.job import JobState
from storage.objects.foreign import ForeignBuckets
from storage.objects.s3_access import S3Access
from tests.fakes.s3_server import s3_server
from tests.integration.ingest.bed import Bed
from workers.dispatcher.sources import BucketRule, RemoteSources
from workers.fetch_url import FetchRules, UrlFetcher


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


class Buckets:
    """A foreign bucket with one object, and sources that may read it."""

    def __init__(self, url: str, rules: FetchRules) -> None:
        self.client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.client.create_bucket(Bucket="archive")
        self.client.put_object(Bucket="archive", Key="2026/a b.mp4", Body=b"x" * 3000, ContentType="video/mp4")
        self._foreign = ForeignBuckets(S3Access(endpoint_url=url, access_key="test", secret_key="test"))
        self._fetcher = UrlFetcher(rules)

    def allowing(self, *rules: str, own: str | None = None) -> RemoteSources:
        return RemoteSources(
            self._fetcher, self._foreign, buckets=[BucketRule.parse(rule) for rule in rules], own_bucket=own
        )


@pytest.fixture
def buckets(s3_url: str, bed: Bed) -> Buckets:
    return Buckets(s3_url, bed.rules)


def test_an_object_of_a_listed_bucket_is_copied_in(bed: Bed, buckets: Buckets) -> None:
    ingest = bed.dispatcher(sources=buckets.allowing("archive"))
    job = bed.settled("s3://archive/2026/a b.mp4", ingest=ingest)
    assert job.state is JobState.QUEUED
    assert (job.input.size_bytes, job.input.filename, job.input.content_type) == (3000, "a b.mp4", "video/mp4")
    assert job.input.sha256 == hashlib.sha256(b"x" * 3000).hexdigest()


@pytest.mark.parametrize(
    ("allowed", "own", "allowed_to_t"),
    [
        (["archive"], None, True),
        (["t=archive"], None, True),
        (["archive/2026/"], None, True),
        (["other", "t=archive/20"], None, True),
        ([], None, False),
        (["archive"], "archive", False),
        (["other=archive"], None, False),
        (["archive/2025/"], None, False),
        (["archiv"], None, False),
    ],
)
def test_only_listed_buckets_are_read_and_never_our_own(
    bed: Bed, buckets: Buckets, allowed: list[str], own: str | None, allowed_to_t: bool
) -> None:
    ingest = bed.dispatcher(sources=buckets.allowing(*allowed, own=own))
    job = bed.settled("s3://archive/2026/a b.mp4", ingest=ingest)
    assert job.state is (JobState.QUEUED if allowed_to_t else JobState.FAILED)
    assert allowed_to_t or (job.error is not None and job.error["code"] == "input.refused")


@pytest.mark.parametrize(
    ("url", "code"), [("s3://archive/nothing", "input.gone"), ("s3://missing-bucket/x", "input.gone")]
)
def test_an_object_that_is_not_there_is_gone(bed: Bed, buckets: Buckets, url: str, code: str) -> None:
    job = bed.settled(url, ingest=bed.dispatcher(sources=buckets.allowing("archive", "missing-bucket")))
    assert job.error is not None
    assert (job.state, job.error["code"]) == (JobState.FAILED, code)


def test_an_object_over_the_limit_is_refused_before_it_is_read(bed: Bed, s3_url: str) -> None:
    small = Buckets(s3_url, replace(bed.rules, max_bytes=2999))
    job = bed.settled("s3://archive/2026/a b.mp4", ingest=bed.dispatcher(sources=small.allowing("archive")))
    assert job.error is not None
    assert job.error["code"] == "media.too_large"


def test_a_foreign_server_that_is_down_is_waited_for(bed: Bed) -> None:
    foreign = ForeignBuckets(S3Access(endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b"))
    sources = RemoteSources(UrlFetcher(bed.rules), foreign, buckets=[BucketRule("archive", "", None)])
    job = bed.settled("s3://archive/x", ingest=bed.dispatcher(sources=sources))
    assert job.state is JobState.UPLOADING
