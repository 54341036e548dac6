"""Jobs, segments, workers, fair queueing, uploads, keys and the registry."""

from alembic import op

revision = "0001"
down_revision = None

JOBS = """
CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    run integer NOT NULL DEFAULT 1,
    state text NOT NULL CONSTRAINT jobs_state CHECK (
        state IN ('uploading', 'queued', 'running', 'succeeded', 'failed', 'dead', 'canceled')),
    pipeline text NOT NULL,
    spec_version integer NOT NULL,
    params jsonb NOT NULL,
    batch_key text NOT NULL,
    lane text NOT NULL,
    size_class text NOT NULL,
    priority text NOT NULL CONSTRAINT jobs_priority CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    metadata jsonb NOT NULL DEFAULT '{}',
    input_key text,
    input_size_bytes bigint,
    input_etag text,
    input_sha256 text,
    input_filename text,
    input_content_type text,
    input_source_url text,
    upload_id uuid,
    fingerprint text NOT NULL,
    idempotency_key text,
    segments_total integer NOT NULL DEFAULT 0,
    segments_left integer NOT NULL DEFAULT 0 CONSTRAINT jobs_segments_left CHECK (segments_left >= 0),
    progress double precision NOT NULL DEFAULT 0,
    stage text,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    media jsonb,
    summary jsonb,
    warnings jsonb NOT NULL DEFAULT '[]',
    error jsonb,
    timings jsonb NOT NULL DEFAULT '{}',
    models jsonb NOT NULL DEFAULT '[]',
    frames integer NOT NULL DEFAULT 0,
    cost_seconds double precision NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_after timestamptz,
    expires_at timestamptz,
    queued_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT jobs_end CHECK (
        (finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'dead', 'canceled')))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX jobs_idempotency ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_by_tenant ON jobs (tenant, id);
CREATE INDEX jobs_by_tenant_state ON jobs (tenant, state, id);
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_metadata ON jobs USING gin (metadata jsonb_path_ops) WHERE metadata <> '{}';
CREATE INDEX jobs_by_upload ON jobs (upload_id) WHERE upload_id IS NOT NULL;
CREATE INDEX jobs_expiring ON jobs (expires_at)
    WHERE state IN ('uploading', 'queued') AND started_at IS NULL AND expires_at IS NOT NULL;
"""

# Progress is in no index and pages keep a fifth free, so that a heartbeat's update stays within its page.
SEGMENTS = """
CREATE TABLE segments (
    id uuid PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES jobs (id),
    run integer NOT NULL,
    index integer NOT NULL DEFAULT 0,
    kind text NOT NULL CONSTRAINT segments_kind CHECK (kind IN ('plan', 'infer', 'merge')),
    state text NOT NULL CONSTRAINT segments_state CHECK (
        state IN ('waiting', 'ready', 'claimed', 'done', 'dead', 'dropped')),
    tenant text NOT NULL,
    pipeline text NOT NULL,
    spec_version integer NOT NULL,
    batch_key text NOT NULL,
    lane text NOT NULL,
    size_class text NOT NULL,
    tag double precision NOT NULL,
    cost_seconds double precision NOT NULL,
    start_pts bigint,
    end_pts bigint,
    frames integer NOT NULL DEFAULT 1,
    solo boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    holdups integer NOT NULL DEFAULT 0,
    held_up_since timestamptz,
    losses integer NOT NULL DEFAULT 0,
    run_after timestamptz,
    claim_id uuid,
    claim_size integer,
    worker_id text,
    claimed_at timestamptz,
    progress_done bigint NOT NULL DEFAULT 0,
    progress_total bigint NOT NULL DEFAULT 0,
    errors jsonb NOT NULL DEFAULT '[]',
    rows_count integer,
    rows_size_bytes bigint,
    rows_sha256 text,
    rows_inline bytea,
    rows_key text,
    timings jsonb NOT NULL DEFAULT '{}',
    warnings jsonb NOT NULL DEFAULT '[]',
    models jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ready_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT segments_held CHECK (state <> 'claimed' OR (claim_id IS NOT NULL AND worker_id IS NOT NULL)),
    CONSTRAINT segments_dropped CHECK (state NOT IN ('dead', 'dropped') OR claim_id IS NULL)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX segments_claim ON segments (lane, size_class, tag, id) WHERE state = 'ready';
CREATE INDEX segments_alike ON segments (batch_key, kind, tag, id) WHERE state = 'ready' AND NOT solo;
CREATE INDEX segments_due ON segments (run_after) WHERE state = 'waiting';
CREATE INDEX segments_by_worker ON segments (worker_id)
    WHERE worker_id IS NOT NULL AND state IN ('claimed', 'ready', 'waiting');
CREATE UNIQUE INDEX segments_place ON segments (job_id, run, kind, index);
"""

# No foreign key: its check would lock the job's row inside the claim, which locks segments only.
EVENTS = """
CREATE TABLE job_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id uuid NOT NULL,
    run integer NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    segment_id uuid,
    claim_id uuid,
    worker_id text,
    data jsonb
);
CREATE INDEX job_events_by_job ON job_events (job_id, id);
"""

FLEET = """
CREATE TABLE workers (
    id text PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    lanes text[] NOT NULL,
    size_classes text[] NOT NULL,
    pipelines text[] NOT NULL,
    device jsonb NOT NULL,
    state text NOT NULL CONSTRAINT workers_state CHECK (state IN ('live', 'draining', 'lost', 'stopped')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    gone_at timestamptz
) WITH (fillfactor = 50);
CREATE TABLE pauses (
    kind text NOT NULL CONSTRAINT pauses_kind CHECK (kind IN ('pipeline', 'lane', 'tenant')),
    name text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL,
    PRIMARY KEY (kind, name)
);
"""

FAIRNESS = """
CREATE TABLE lanes (
    lane text PRIMARY KEY,
    v double precision NOT NULL
);
CREATE TABLE flows (
    lane text NOT NULL,
    tenant text NOT NULL,
    priority text NOT NULL,
    finish double precision NOT NULL,
    PRIMARY KEY (lane, tenant, priority)
) WITH (fillfactor = 50);
"""

UPLOADS = """
CREATE TABLE uploads (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    state text NOT NULL CONSTRAINT uploads_state CHECK (state IN ('open', 'complete', 'taken', 'expired')),
    key text NOT NULL,
    multipart_id text NOT NULL,
    size_bytes bigint NOT NULL,
    part_size_bytes bigint NOT NULL,
    filename text,
    content_type text,
    etag text,
    sha256 text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX uploads_expiring ON uploads (expires_at) WHERE state IN ('open', 'complete');
"""

REGISTRY = """
CREATE TABLE pipelines (
    name text PRIMARY KEY,
    spec_version integer NOT NULL,
    lane text NOT NULL,
    spec jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE models (
    name text NOT NULL,
    version text NOT NULL,
    digest text NOT NULL,
    task text NOT NULL,
    active boolean NOT NULL DEFAULT false,
    card jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, version)
);
CREATE UNIQUE INDEX models_active ON models (name) WHERE active;
CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    name text NOT NULL,
    last4 text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
"""


def upgrade():
    for statements in (JOBS, SEGMENTS, EVENTS, FLEET, FAIRNESS, UPLOADS, REGISTRY):
        op.execute(statements)


def downgrade():
    raise NotImplementedError("revisions only go forward; restore a backup instead")
