"""Versions of models that come over HTTP, their check by a worker, and what a job is pinned to."""

from alembic import op

revision = "0003"
down_revision = "0002"

# What workers registered from their own folders was served before and is served still: it counts as checked.
MODELS = """
ALTER TABLE models
    ADD COLUMN state text NOT NULL DEFAULT 'checked'
        CONSTRAINT models_state CHECK (state IN ('added', 'checked', 'refused')),
    ADD COLUMN object_key text,
    ADD COLUMN size_bytes bigint,
    ADD COLUMN activated_at timestamptz,
    ADD COLUMN checker text,
    ADD COLUMN check_tries integer NOT NULL DEFAULT 0,
    ADD COLUMN checked_at timestamptz,
    ADD COLUMN error jsonb,
    ADD COLUMN measured jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN evaluation jsonb,
    ADD CONSTRAINT models_serve CHECK (state = 'checked' OR NOT active);
UPDATE models SET activated_at = created_at WHERE active;
CREATE INDEX models_due ON models (created_at) WHERE state = 'added';
CREATE INDEX models_by_object ON models (object_key) WHERE object_key IS NOT NULL;
"""

# name -> {"version", "digest"}; of jobs made before, every worker takes what it has.
JOBS = "ALTER TABLE jobs ADD COLUMN pins jsonb NOT NULL DEFAULT '{}'"


def upgrade():
    for statements in (MODELS, JOBS):
        op.execute(statements)


def downgrade():
    raise NotImplementedError("revisions only go forward; restore a backup instead")
