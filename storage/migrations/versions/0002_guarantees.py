"""Partial success, dead letters, batches, webhooks, retention and who did what."""

from alembic import op

revision = "0002"
down_revision = "0001"

# What has ended is in three short lists by its time: what still has an input, what still has results, and what has
# neither; a dead letter that nobody discarded has its own list, for its time is another.
JOBS = """
ALTER TABLE jobs
    ADD COLUMN allow_partial boolean NOT NULL DEFAULT false,
    ADD COLUMN missing_ranges jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN batch_id uuid,
    ADD COLUMN webhook_url text,
    ADD COLUMN error_fingerprint text,
    ADD COLUMN error_code text GENERATED ALWAYS AS (error ->> 'code') STORED,
    ADD COLUMN same_error_runs integer NOT NULL DEFAULT 0,
    ADD COLUMN discarded_at timestamptz,
    ADD COLUMN discarded_by text,
    ADD COLUMN input_deleted_at timestamptz,
    ADD COLUMN results_deleted_at timestamptz;
CREATE INDEX jobs_dead ON jobs (error_fingerprint, id)
    INCLUDE (tenant, pipeline, error_code, finished_at, same_error_runs)
    WHERE state = 'dead' AND discarded_at IS NULL;
CREATE INDEX jobs_uploading ON jobs (tenant, id) WHERE state = 'uploading';
CREATE INDEX jobs_by_batch ON jobs (batch_id, state, id) WHERE batch_id IS NOT NULL;
CREATE INDEX jobs_with_input ON jobs (finished_at)
    WHERE finished_at IS NOT NULL AND input_key IS NOT NULL AND (state <> 'dead' OR discarded_at IS NOT NULL);
CREATE INDEX jobs_with_results ON jobs (finished_at)
    WHERE finished_at IS NOT NULL AND results_deleted_at IS NULL AND (state <> 'dead' OR discarded_at IS NOT NULL);
CREATE INDEX jobs_dead_whole ON jobs (finished_at)
    WHERE state = 'dead' AND discarded_at IS NULL AND (input_key IS NOT NULL OR results_deleted_at IS NULL);
CREATE INDEX jobs_bare ON jobs (finished_at)
    WHERE finished_at IS NOT NULL AND input_key IS NULL AND results_deleted_at IS NOT NULL;
"""

# Who did what, when: kept apart from job_events, which go with their job.
AUDIT = """
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL,
    action text NOT NULL,
    tenant text,
    target jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE replay_orders (
    id uuid PRIMARY KEY,
    state text NOT NULL CONSTRAINT replay_orders_state CHECK (state IN ('running', 'finished', 'canceled')),
    by text NOT NULL,
    tenant text,
    filter jsonb NOT NULL,
    params jsonb,
    force boolean NOT NULL DEFAULT false,
    per_second double precision NOT NULL CHECK (per_second > 0),
    cursor uuid,
    until_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    replayed integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    refused integer NOT NULL DEFAULT 0,
    refusals jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
CREATE INDEX replay_orders_running ON replay_orders (id) WHERE state = 'running';
"""

# An item is a line of the manifest; what a prefix expands into are further parts of its index. Two lists of a batch's
# work are short: batches that are not ended (or still have jobs to cancel), and items that are not jobs yet.
BATCHES = """
CREATE TABLE batches (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    name text,
    state text NOT NULL CONSTRAINT batches_state CHECK (state IN ('open', 'running', 'finished', 'canceled')),
    fingerprint text NOT NULL,
    idempotency_key text,
    defaults jsonb NOT NULL DEFAULT '{}',
    max_queue integer,
    items_max integer NOT NULL,
    next_index integer NOT NULL DEFAULT 0,
    items_total integer NOT NULL DEFAULT 0,
    canceling boolean NOT NULL DEFAULT false,
    replay jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    finished_at timestamptz
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX batches_idempotency ON batches (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX batches_by_tenant ON batches (tenant, id);
CREATE INDEX batches_unfinished ON batches (id) WHERE state IN ('open', 'running') OR canceling;
CREATE TABLE batch_items (
    batch_id uuid NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    index integer NOT NULL,
    part integer NOT NULL DEFAULT 0,
    key text,
    state text NOT NULL CONSTRAINT batch_items_state CHECK (
        state IN ('waiting', 'expanding', 'expanded', 'made', 'rejected')),
    digest text NOT NULL,
    item jsonb NOT NULL,
    job_id uuid,
    error jsonb,
    PRIMARY KEY (batch_id, index, part),
    CONSTRAINT batch_items_made CHECK ((job_id IS NOT NULL) = (state = 'made'))
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX batch_items_key ON batch_items (batch_id, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX batch_items_job ON batch_items (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX batch_items_waiting ON batch_items (batch_id, state, index, part)
    WHERE state IN ('waiting', 'expanding');
CREATE INDEX batch_items_by_job ON batch_items (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX batch_items_rejected ON batch_items (batch_id, index, part) WHERE state = 'rejected';
"""

WEBHOOKS = """
CREATE TABLE webhook_secrets (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    secret bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz
);
CREATE INDEX webhook_secrets_by_tenant ON webhook_secrets (tenant, created_at);
CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    url text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz,
    failing_since timestamptz,
    last_status integer,
    last_error text,
    disabled_at timestamptz,
    disabled_why text,
    UNIQUE (tenant, url)
);
CREATE INDEX webhook_endpoints_by_tenant ON webhook_endpoints (tenant, id);
CREATE INDEX webhook_endpoints_failing ON webhook_endpoints (failing_since) WHERE failing_since IS NOT NULL;
CREATE INDEX webhook_endpoints_used ON webhook_endpoints (used_at);
CREATE TABLE webhook_events (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    job_id uuid NOT NULL,
    run integer NOT NULL,
    kind text NOT NULL,
    url text NOT NULL,
    receiver text NOT NULL GENERATED ALWAYS AS (
        coalesce(lower(substring(url FROM '^[A-Za-z]+://[^/?#]*')), '')) STORED,
    body jsonb NOT NULL,
    state text NOT NULL CONSTRAINT webhook_events_state CHECK (
        state IN ('pending', 'delivered', 'failed', 'disabled')),
    attempts integer NOT NULL DEFAULT 0,
    retries integer NOT NULL DEFAULT 0,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at timestamptz,
    claim_id uuid,
    last_status integer,
    last_error text,
    log jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz,
    UNIQUE (job_id, run, kind),
    CONSTRAINT webhook_events_due CHECK ((next_at IS NOT NULL) = (state = 'pending'))
) WITH (fillfactor = 80);
CREATE INDEX webhook_events_pending ON webhook_events (tenant, receiver, next_at) WHERE state = 'pending';
CREATE INDEX webhook_events_by_tenant ON webhook_events (tenant, id);
CREATE INDEX webhook_events_by_state ON webhook_events (tenant, state, id);
CREATE INDEX webhook_events_old ON webhook_events (created_at) WHERE state <> 'pending';
"""

# What was erased: told to every worker that may have the input on its disk, and looked at again for objects that
# whoever was just writing has put since. No foreign key: the job is gone.
ERASURE = """
CREATE TABLE erasures (
    job_id uuid PRIMARY KEY,
    input_key text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    looks integer NOT NULL DEFAULT 0,
    look_at timestamptz DEFAULT clock_timestamp() + interval '15 seconds'
);
CREATE INDEX erasures_at ON erasures (at);
CREATE INDEX erasures_due ON erasures (look_at) WHERE look_at IS NOT NULL;
"""


def upgrade():
    for statements in (JOBS, AUDIT, BATCHES, WEBHOOKS, ERASURE):
        op.execute(statements)


def downgrade():
    raise NotImplementedError("revisions only go forward; restore a backup instead")
