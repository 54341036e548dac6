"""What becomes of a job whose input could not be copied; which buckets are open; what settings say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from storage.errors import DatabaseUnavailable, ObjectStoreUnavailable, ObjectTooLarge
from workers.dispatcher.ingest import OUTAGE_SECONDS, verdict
from workers.dispatcher.ingest_settings import IngestSettings
from workers.dispatcher.sources import BucketRule
from workers.fetch_url import FetchGone, FetchRefused, FetchTooLarge, FetchUnreachable

LATER = None


@pytest.mark.parametrize(
    ("error", "waited_seconds", "code"),
    [
        (FetchRefused("x"), 0, "input.refused"),
        (FetchGone("x"), 0, "input.gone"),
        (FetchTooLarge("x"), 0, "media.too_large"),
        (ObjectTooLarge("x"), 0, "media.too_large"),
        (FetchUnreachable("x", transient=False), 0, "input.unreachable"),
        (FetchUnreachable("x"), 0, LATER),
        (FetchUnreachable("x"), 60, LATER),
        (FetchUnreachable("x"), 61, "input.unreachable"),
        (ObjectStoreUnavailable("x"), 61, LATER),
        (ObjectStoreUnavailable("x"), OUTAGE_SECONDS + 1, "storage.unavailable"),
        (DatabaseUnavailable("x"), OUTAGE_SECONDS - 1, LATER),
        (RuntimeError("a fault of ours"), 61, LATER),
        (RuntimeError("a fault of ours"), OUTAGE_SECONDS + 1, "storage.unavailable"),
    ],
    ids=repr,
)
def test_a_fault_ends_the_job_or_waits(error: Exception, waited_seconds: float, code: str | None) -> None:
    fault = verdict(error, waited_seconds, patience_seconds=60)
    assert (fault.code if fault else None) == code
    assert fault is None or fault.advice


@pytest.mark.parametrize(
    ("rule", "bucket", "key", "tenant", "allowed"),
    [
        ("archive", "archive", "any", "t", True),
        ("archive", "archive2", "any", "t", False),
        ("t=archive", "archive", "any", "t", True),
        ("t=archive", "archive", "any", "u", False),
        ("archive/in/", "archive", "in/a", "t", True),
        ("archive/in/", "archive", "inner", "t", False),
        ("t=archive/a=b/", "archive", "a=b/c", "t", True),
        ("", "archive", "a", "t", False),
    ],
)
def test_a_bucket_rule_opens_what_it_names(rule: str, bucket: str, key: str, tenant: str, allowed: bool) -> None:
    assert BucketRule.parse(rule).allows(bucket, key, tenant) is allowed


def test_settings_are_read_from_lists_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FQ_INGEST_PORTS", "80, 443,8443")
    monkeypatch.setenv("FQ_INGEST_PRIVATE_HOSTS", "NAS.local, 10.0.0.5:9000")
    monkeypatch.setenv("FQ_INGEST_DENIED_NETWORKS", "203.0.113.0/24,2606:4700::/32")
    monkeypatch.setenv("FQ_INGEST_MAX_BYTES", "1000")
    rules = IngestSettings().fetch_rules
    assert rules.ports == {80, 443, 8443}
    assert rules.private_hosts == {"nas.local", "10.0.0.5:9000"}
    assert [str(network) for network in rules.denied_networks] == ["203.0.113.0/24", "2606:4700::/32"]
    assert rules.max_bytes == 1000


@pytest.mark.parametrize("nothing", ["", " ", "[]"])
def test_an_empty_list_is_a_list(monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
    for name in ("PRIVATE_HOSTS", "DENIED_NETWORKS", "BUCKETS"):
        monkeypatch.setenv(f"FQ_INGEST_{name}", nothing)
    settings = IngestSettings()
    assert (settings.ingest_private_hosts, settings.ingest_denied_networks, settings.ingest_buckets) == ((), (), ())


@pytest.mark.parametrize(
    ("name", "value"),
    [("FQ_INGEST_PORTS", "http"), ("FQ_INGEST_PORTS", "70000"), ("FQ_INGEST_DENIED_NETWORKS", "10.0.0.0/33"),
     ("FQ_INGEST_CONCURRENCY", "0")],
)  # fmt: skip
def test_a_wrong_setting_is_told_at_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        IngestSettings()
