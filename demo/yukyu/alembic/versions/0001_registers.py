"""Leave accounts, the three registers of people, and users."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001_registers"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def person_columns() -> list[sa.Column[Any]]:
    """What the three registers share; birth_date and hourly_wage hold encrypted text."""
    return [
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("employee_num", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kana", sa.Text),
        sa.Column("gender", sa.Text),
        sa.Column("nationality", sa.Text),
        sa.Column("birth_date", sa.Text),
        sa.Column("age", sa.Integer),
        sa.Column("hourly_wage", sa.Text),
        sa.Column("hire_date", sa.Text),
        sa.Column("leave_date", sa.Text),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("updated_at", sa.DateTime),
    ]


def create_employees() -> None:
    op.create_table(
        "employees",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("employee_num", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("haken", sa.Text),
        sa.Column("granted", sa.Numeric(7, 3), nullable=False, server_default=sa.text("0")),
        sa.Column("used", sa.Numeric(7, 3), nullable=False, server_default=sa.text("0")),
        sa.Column("balance", sa.Numeric(7, 3), nullable=False, server_default=sa.text("0")),
        sa.Column("usage_rate", sa.Double),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("grant_date", sa.Text),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("notes", sa.Text),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.CheckConstraint("granted >= 0 AND used >= 0", name="days_not_negative"),
    )
    op.create_index("ix_employees_year_name", "employees", ["year", "name"])


def create_registers() -> None:
    own: dict[str, list[sa.Column[Any]]] = {
        "genzai": [
            sa.Column("dispatch_id", sa.BigInteger),
            sa.Column("dispatch_name", sa.Text),
            sa.Column("department", sa.Text),
            sa.Column("line", sa.Text),
            sa.Column("wage_revision", sa.Text),
        ],
        "ukeoi": [sa.Column("contract_business", sa.Text), sa.Column("commute_km", sa.Double)],
        "staff": [
            sa.Column("office", sa.Text),
            sa.Column("postal_code", sa.Text),
            sa.Column("address", sa.Text),
            sa.Column("has_spouse", sa.Boolean),
        ],
    }
    for table, columns in own.items():
        op.create_table(table, *person_columns(), *columns)
        op.create_index(f"ix_{table}_employee_num", table, ["employee_num"])


def create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("username"),
        sa.CheckConstraint("role IN ('admin', 'manager', 'viewer', 'service')", name="role_known"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_users_email", "users", ["email"], unique=True)


def upgrade() -> None:
    create_employees()
    create_registers()
    create_users()


def downgrade() -> None:
    for table in ("users", "staff", "ukeoi", "genzai", "employees"):
        op.drop_table(table)
