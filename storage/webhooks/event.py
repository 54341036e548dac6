"""A webhook event as it is made: one row for each terminal state of a run, in the statement that ends the job."""

from __future__ import annotations

#: members of a stored fault that are for operators' eyes
INTERNAL_FAULT_MEMBERS = ("stack", "worker")

# A part of the statement that ends jobs: ``ended`` has the columns of jobs, and ``webhook_id``, a fresh id.
# The links are put in by the first claim: only the dispatcher knows where clients reach the API.
INSERT_WEBHOOK = f"""
        INSERT INTO webhook_events (id, tenant, job_id, run, kind, url, body, state, next_at)
        SELECT e.webhook_id, e.tenant, e.id, e.run, 'job.' || e.state, e.webhook_url,
            jsonb_build_object(
                'type', 'job.' || e.state,
                'timestamp', to_char(e.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\\:MI\\:SS.US"Z"'),
                'data', jsonb_build_object(
                    'id', e.id, 'run', e.run, 'state', e.state, 'pipeline', e.pipeline, 'metadata', e.metadata,
                    'batch_id', e.batch_id, 'error', e.error - '{{{",".join(INTERNAL_FAULT_MEMBERS)}}}'::text[])),
            'pending', clock_timestamp()
        FROM ended e WHERE e.webhook_url IS NOT NULL
        RETURNING job_id, run, id, state
"""  # noqa: S608 - fixed text
