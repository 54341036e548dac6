"""Which objects no row names any more. In doubt an object is owned: litter costs space, a wrong deletion a result."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.ids import is_id

#: a stale worker may still put objects this long after its job has ended (its longest run, and an hour)
LATE_SECONDS = 5 * 3600.0

_UNOWNED = text("""
    SELECT g.key FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS g (key text, id uuid)
    WHERE NOT EXISTS (SELECT FROM uploads u WHERE u.id = g.id AND u.state IN ('open', 'complete'))
        AND NOT EXISTS (SELECT FROM models m WHERE m.object_key = g.key)
        AND NOT EXISTS (
            SELECT FROM jobs j WHERE j.upload_id = g.id AND j.input_key = g.key AND g.key LIKE 'uploads/%')
        AND NOT EXISTS (
            SELECT FROM jobs j WHERE j.id = g.id AND (
                j.input_key = g.key
                OR j.state IN ('uploading', 'queued', 'running')
                OR j.finished_at > clock_timestamp() - make_interval(secs => :late_seconds)
                OR g.key NOT LIKE 'results/%.jsonl.gz' AND g.key NOT LIKE 'results/%/artifacts/%'
                    AND NOT (g.key LIKE 'inputs/%' AND j.input_deleted_at IS NOT NULL)
                    AND NOT (g.key LIKE 'results/%' AND j.results_deleted_at IS NOT NULL)
                OR j.artifacts @> jsonb_build_array(jsonb_build_object('key', g.key))
                OR EXISTS (SELECT FROM segments s WHERE s.job_id = j.id AND s.rows_key = g.key)))
    ORDER BY g.key
""")


def without_owner(connection: Connection, ids_by_key: Mapping[str, str]) -> list[str]:
    """Return the keys that no job, segment, model version or open upload names; those without an id are left alone."""
    given = [{"key": key, "id": row_id} for key, row_id in ids_by_key.items() if is_id(row_id)]
    found = connection.execute(_UNOWNED, {"given": json.dumps(given), "late_seconds": LATE_SECONDS})
    return list(found.scalars())
