"""Object keys: every object's place, decided here alone."""

from __future__ import annotations


def input_key(job_id: str) -> str:
    """The uploaded input of a job."""
    return f"inputs/{job_id}/source"


def ingest_key(job_id: str, copy_id: str) -> str:
    """One copy of a remote input: two dispatchers that copy at once never overwrite each other's bytes."""
    return f"inputs/{job_id}/{copy_id}/source"


def packets_key(job_id: str, identity: str) -> str:
    """What is known of the packets of one input of a job; lies with the input and goes with it."""
    return f"inputs/{job_id}/packets-{identity}"


def upload_key(upload_id: str) -> str:
    """The input that came by a presigned upload, until and after a job takes it."""
    return f"uploads/{upload_id}/source"


def rows_key(job_id: str, run: int, segment_id: str, claim_id: str) -> str:
    """Result rows of one segment under one claim: a stale worker can never overwrite another's."""
    return f"results/{job_id}/{run}/{segment_id}/{claim_id}.jsonl.gz"


def model_key(upload_id: str, digest: str) -> str:
    """The weights of a model version, by the id of their upload and their SHA-256: two never overwrite each other."""
    return f"models/{upload_id}/{digest}"


def artifact_key(job_id: str, run: int, segment_id: str, claim_id: str, name: str) -> str:
    """A picture or film that one claim made of a result; ``name`` is of ours."""
    return f"results/{job_id}/{run}/{segment_id}/artifacts/{claim_id}/{name}"


def own_prefixes(job_id: str) -> tuple[str, ...]:
    """Where everything lies that a job alone has: copies of its input, and what came of every claim on it."""
    return f"inputs/{job_id}/", f"results/{job_id}/"


#: everything that belongs to some row lies below one of these, then comes the id of its job or upload, or of the act
#: that put it there
OWNED_PREFIXES = ("inputs/", "results/", "uploads/", "models/")


def owner_id(key: str) -> str:
    """The part of a key where the id of its job or upload stands."""
    return key.partition("/")[2].partition("/")[0]
