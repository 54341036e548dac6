"""The statements of the webhook outbox."""

from __future__ import annotations

from sqlalchemy import text

# Jumps from receiver to receiver along the index of pending events, instead of reading all of it.
VISIT = text("""
    WITH RECURSIVE visited AS (
        (SELECT tenant, receiver FROM webhook_events
        WHERE state = 'pending' AND (tenant, receiver) > (:tenant, :receiver)
        ORDER BY tenant, receiver LIMIT 1)
        UNION ALL
        SELECT next.tenant, next.receiver FROM visited v CROSS JOIN LATERAL (
            SELECT e.tenant, e.receiver FROM webhook_events e
            WHERE e.state = 'pending' AND (e.tenant, e.receiver) > (v.tenant, v.receiver)
            ORDER BY e.tenant, e.receiver LIMIT 1) AS next
    )
    SELECT v.tenant, v.receiver, EXISTS (
        SELECT FROM webhook_events e
        WHERE e.state = 'pending' AND e.tenant = v.tenant AND e.receiver = v.receiver
            AND e.next_at <= (SELECT clock_timestamp())) AS due
    FROM (SELECT * FROM visited LIMIT :limit) AS v ORDER BY v.tenant, v.receiver
""")

# An event of a disabled endpoint is settled here, which counts as a use of it: else it would be forgotten. The first
# claim writes the links: from then on the text is fixed.
CLAIM = text("""
    WITH rooms AS (
        SELECT * FROM unnest(CAST(:tenants AS text[]), CAST(:receivers AS text[]), CAST(:rooms AS integer[]))
            AS r (tenant, receiver, room)
    ), due AS MATERIALIZED (
        SELECT d.id, d.tenant, d.url FROM rooms r CROSS JOIN LATERAL (
            SELECT e.id, e.tenant, e.url FROM webhook_events e
            WHERE e.state = 'pending' AND e.tenant = r.tenant AND e.receiver = r.receiver
                AND e.next_at <= (SELECT clock_timestamp())
            ORDER BY e.next_at LIMIT r.room FOR NO KEY UPDATE SKIP LOCKED) AS d
    ), taken AS (
        UPDATE webhook_events e SET
            state = CASE WHEN p.disabled_at IS NULL THEN 'pending' ELSE 'disabled' END,
            claim_id = CASE WHEN p.disabled_at IS NULL THEN CAST(:claim_id AS uuid) END,
            next_at = CASE WHEN p.disabled_at IS NULL
                THEN clock_timestamp() + make_interval(secs => :lease_seconds) END,
            last_error = CASE WHEN p.disabled_at IS NULL THEN e.last_error ELSE 'the endpoint is disabled' END,
            body = CASE WHEN e.body -> 'data' ? 'urls' THEN e.body ELSE jsonb_set(e.body, '{data,urls}',
                jsonb_build_object(
                    'self', CAST(:base_url AS text) || '/v1/jobs/' || e.job_id,
                    'frames', CAST(:base_url AS text) || '/v1/jobs/' || e.job_id || '/frames',
                    'result', CAST(:base_url AS text) || '/v1/jobs/' || e.job_id || '/result',
                    'replay', CAST(:base_url AS text) || '/v1/jobs/' || e.job_id || '/replay')) END
        FROM due d LEFT JOIN webhook_endpoints p ON p.tenant = d.tenant AND p.url = d.url
        WHERE e.id = d.id
        RETURNING e.*, p.id AS endpoint_id
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind, data)
        SELECT job_id, run, 'webhook', jsonb_build_object('event', id, 'state', state, 'attempts', attempts)
        FROM taken WHERE state = 'disabled'
    ), used AS (
        UPDATE webhook_endpoints SET used_at = clock_timestamp() WHERE id IN (
            SELECT p.id FROM webhook_endpoints p
            WHERE p.id IN (SELECT endpoint_id FROM taken WHERE state = 'disabled')
                AND p.used_at < clock_timestamp() - interval '1 hour'
            FOR NO KEY UPDATE SKIP LOCKED)
    )
    SELECT t.id::text AS id, t.tenant, t.receiver, t.job_id::text AS job_id, t.url, t.body::text AS body, t.attempts,
        t.retries, extract(epoch FROM clock_timestamp() - t.since)::float8 AS age_seconds,
        ARRAY(SELECT s.secret FROM webhook_secrets s
            WHERE s.tenant = t.tenant AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
            ORDER BY s.created_at DESC, s.id DESC) AS secrets
    FROM taken t WHERE t.state = 'pending'
""")

# One statement: the event, what the job's history tells of its end, and how its endpoint does. Of many successes in
# a row the endpoint's row is written every ten seconds: it must not become a hot one.
SETTLE = text("""
    WITH settled AS (
        UPDATE webhook_events e SET
            state = :state, claim_id = NULL, attempts = attempts + 1, retries = retries + 1,
            next_at = CASE WHEN :state = 'pending'
                THEN clock_timestamp() + make_interval(secs => CAST(:delay_seconds AS float8)) END,
            last_status = :status, last_error = :error,
            log = CASE WHEN jsonb_array_length(log) >= :log_max THEN log - 0 ELSE log END
                || jsonb_build_array(jsonb_build_object('at', clock_timestamp()) || CAST(:entry AS jsonb)),
            delivered_at = CASE WHEN :state = 'delivered' THEN clock_timestamp() ELSE delivered_at END
        WHERE id = CAST(:id AS uuid) AND state = 'pending' AND claim_id = CAST(:claim_id AS uuid)
        RETURNING e.*
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind, data)
        SELECT job_id, run, 'webhook', jsonb_build_object('event', id, 'state', state, 'attempts', attempts)
        FROM settled WHERE state <> 'pending'
    ), told AS (
        INSERT INTO webhook_endpoints AS p (id, tenant, url, delivered_at, failing_since, last_status, last_error,
            disabled_at, disabled_why)
        SELECT CAST(:endpoint_id AS uuid), tenant, url, delivered_at,
            CASE WHEN state <> 'delivered' THEN clock_timestamp() END, last_status, last_error,
            CASE WHEN state = 'disabled' THEN clock_timestamp() END, CASE WHEN state = 'disabled' THEN last_error END
        FROM settled
        ON CONFLICT (tenant, url) DO UPDATE SET
            used_at = clock_timestamp(),
            delivered_at = coalesce(excluded.delivered_at, p.delivered_at),
            failing_since = CASE WHEN :state = 'delivered' THEN NULL
                ELSE coalesce(p.failing_since, excluded.failing_since) END,
            last_status = excluded.last_status, last_error = excluded.last_error,
            disabled_at = coalesce(p.disabled_at, excluded.disabled_at),
            disabled_why = coalesce(p.disabled_why, excluded.disabled_why)
        WHERE :state <> 'delivered' OR p.failing_since IS NOT NULL OR p.delivered_at IS NULL
            OR p.used_at < clock_timestamp() - interval '10 seconds'
    )
    SELECT count(*) FROM settled
""")

DISABLE_REST = text("""
    WITH rest AS MATERIALIZED (
        SELECT e.id FROM webhook_events e
        WHERE e.state = 'pending' AND e.tenant = :tenant AND e.receiver = :receiver AND e.url = :url
            AND e.claim_id IS NULL AND EXISTS (
                SELECT FROM webhook_endpoints p
                WHERE p.tenant = e.tenant AND p.url = e.url AND p.disabled_at IS NOT NULL)
        ORDER BY e.id LIMIT :limit FOR NO KEY UPDATE OF e SKIP LOCKED
    ), disabled AS (
        UPDATE webhook_events e SET state = 'disabled', next_at = NULL, last_error = 'the endpoint is disabled'
        FROM rest WHERE e.id = rest.id
        RETURNING e.job_id, e.run, e.id, e.attempts
    )
    INSERT INTO job_events (job_id, run, kind, data)
    SELECT job_id, run, 'webhook', jsonb_build_object('event', id, 'state', 'disabled', 'attempts', attempts)
    FROM disabled
""")

PENDING = text("""
    SELECT count(*) AS waiting,
        coalesce(extract(epoch FROM clock_timestamp() - min(next_at)), 0)::float8 AS overdue_seconds
    FROM webhook_events WHERE state = 'pending'
""")

FAILING = text("""
    SELECT id::text AS id, tenant, lower(substring(url FROM '^[A-Za-z]+://[^/?#]*')) AS receiver,
        extract(epoch FROM clock_timestamp() - failing_since)::float8 / 3600 AS hours, last_status
    FROM webhook_endpoints
    WHERE failing_since < clock_timestamp() - make_interval(secs => :hours * 3600) AND disabled_at IS NULL
    ORDER BY failing_since LIMIT :limit
""")

FORGET_EVENTS = text("""
    DELETE FROM webhook_events WHERE id IN (
        SELECT id FROM webhook_events
        WHERE state <> 'pending' AND created_at < clock_timestamp() - make_interval(secs => :days * 86400)
        ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED)
""")

FORGET_ENDPOINTS = text("""
    DELETE FROM webhook_endpoints WHERE id IN (
        SELECT id FROM webhook_endpoints WHERE used_at < clock_timestamp() - make_interval(secs => :days * 86400)
        ORDER BY used_at LIMIT :limit FOR UPDATE SKIP LOCKED)
""")
