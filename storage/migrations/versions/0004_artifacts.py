"""Pictures of a result: named by the row of their job, so that its end, retention and replay are one write."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    op.execute("ALTER TABLE jobs ADD COLUMN artifacts jsonb NOT NULL DEFAULT '[]'")


def downgrade():
    raise NotImplementedError("revisions only go forward; restore a backup instead")
