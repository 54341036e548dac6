"""Who did what."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response

from web.answers import answer
from web.audit import AuditList, audit_document
from web.auth import scope
from web.context import services
from web.dead import PageQuery

bp = APIBlueprint("audit", __name__, url_prefix="/v1", tag="Audit")


@bp.get("/audit")
@scope("operate")
@bp.input(PageQuery, location="query")
@bp.output(AuditList)
def list_audit(query_data: PageQuery) -> Response:
    """See who paused, drained, activated, replayed, discarded, erased, issued or revoked what, newest first."""
    page = services().audit.page(cursor=query_data.cursor, limit=query_data.limit)
    return answer(AuditList(entries=[audit_document(one) for one in page.entries], next_cursor=page.next_cursor))
