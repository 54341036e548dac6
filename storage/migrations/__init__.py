"""The schema, as numbered Alembic revisions that only go forward."""

#: the revision this program was written for; a test compares it with the newest file in ``versions``
HEAD = "0004"
