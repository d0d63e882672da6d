"""One leave account a person and year, readings of names, expired days, and what the background worker needs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003_search_and_worker"
down_revision = "0002_leave"
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON().with_variant(JSONB, "postgresql")


def upgrade() -> None:
    # SQLite can't add a constraint to a table: Alembic copies the table then.
    with op.batch_alter_table("employees") as batch:
        batch.add_column(sa.Column("kana", sa.Text))
        batch.add_column(sa.Column("expired", sa.Numeric(7, 3)))
        batch.add_column(sa.Column("profile", DOCUMENT))
        batch.create_unique_constraint("uq_employees_employee_num_year", ["employee_num", "year"])
        batch.create_check_constraint("year_plausible", "year BETWEEN 1950 AND 2200")
    op.add_column("users", sa.Column("last_seen_at", sa.DateTime))
    op.add_column("leave_requests", sa.Column("is_urgent", sa.Boolean, nullable=False, server_default=sa.false()))
    pending = sa.text("status = 'pending'")
    op.create_index(
        "ix_leave_requests_pending", "leave_requests", ["start_date"], sqlite_where=pending, postgresql_where=pending
    )


def downgrade() -> None:
    op.drop_index("ix_leave_requests_pending", "leave_requests")
    op.drop_column("leave_requests", "is_urgent")
    op.drop_column("users", "last_seen_at")
    with op.batch_alter_table("employees") as batch:
        batch.drop_constraint("year_plausible", type_="check")
        batch.drop_constraint("uq_employees_employee_num_year", type_="unique")
        for column in ("profile", "expired", "kana"):
            batch.drop_column(column)
