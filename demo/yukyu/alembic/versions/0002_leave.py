"""Leave requests, and the days taken."""

import sqlalchemy as sa
from alembic import op

revision = "0002_leave"
down_revision = "0001_registers"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
STATES = "status IN ('pending', 'approved', 'rejected', 'cancelled', 'expired')"


def create_leave_requests() -> None:
    op.create_table(
        "leave_requests",
        sa.Column("id", ROW_ID, sa.Identity(), primary_key=True),
        sa.Column("employee_id", sa.Text, sa.ForeignKey("employees.id"), nullable=False),
        sa.Column("employee_name", sa.Text, nullable=False),
        sa.Column("start_date", sa.Text, nullable=False),
        sa.Column("end_date", sa.Text, nullable=False),
        sa.Column("days_requested", sa.Numeric(5, 3), nullable=False),
        sa.Column("hours_requested", sa.Double),
        sa.Column("leave_type", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'pending'")),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("decided_by", sa.BigInteger, sa.ForeignKey("users.id", ondelete="SET NULL")),
        sa.Column("requested_at", sa.DateTime, nullable=False),
        sa.Column("decided_at", sa.DateTime),
        sa.CheckConstraint("days_requested > 0", name="some_days"),
        sa.CheckConstraint("end_date >= start_date", name="dates_in_order"),
        sa.CheckConstraint("leave_type IN ('full', 'half_am', 'half_pm', 'hourly')", name="leave_type_known"),
        sa.CheckConstraint(STATES, name="status_known"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_leave_requests_employee_id", "leave_requests", ["employee_id"])


def create_usage_details() -> None:
    request = sa.ForeignKey("leave_requests.id", ondelete="CASCADE")
    op.create_table(
        "yukyu_usage_details",
        sa.Column("id", ROW_ID, sa.Identity(), primary_key=True),
        sa.Column("employee_id", sa.Text, sa.ForeignKey("employees.id"), nullable=False),
        sa.Column("request_id", sa.BigInteger, request),
        sa.Column("use_date", sa.Text, nullable=False),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("month", sa.Integer, nullable=False),
        sa.Column("days_used", sa.Numeric(5, 3), nullable=False),
        sa.Column("created_at", sa.DateTime),
        sa.CheckConstraint("month BETWEEN 1 AND 12", name="month_of_year"),
        sa.CheckConstraint("days_used > 0 AND days_used <= 1", name="at_most_a_day"),
        sqlite_autoincrement=True,
    )
    for columns in (["year", "month"], ["employee_id"], ["request_id"]):
        op.create_index(f"ix_yukyu_usage_details_{'_'.join(columns)}", "yukyu_usage_details", columns)


def upgrade() -> None:
    create_leave_requests()
    create_usage_details()


def downgrade() -> None:
    op.drop_table("yukyu_usage_details")
    op.drop_table("leave_requests")
