"""Writes docs/reference/permissions.md from the table: `python -m tests.permissions.page`."""

from __future__ import annotations

from pathlib import Path

import tests.servers  # noqa: F401  (first: it sets the environment that the settings are read from)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "permissions.md"
COLUMNS = ("viewer", "qa", "ops", "lead", "author", "superuser")
TITLES = ("viewer", "QA", "ops", "team lead", "plan's author", "superuser")

HEAD = """# Permissions: reference

Who may do what. This page is written from `tests/permissions/table.py`, and a test tries every row with everyone:
through the addresses, and past them through the services. Another test fails when an address or a service has no row.

Roles are held per application. The plan's author is a team lead who wrote the plan: that person doesn't approve it. A
superuser sees everything, gives roles and keeps the installation, but signs nothing and decides nothing. Who is not
signed in is sent to the sign-in page. Who holds no role on an application finds nothing of it: its addresses answer
404. A member who lacks the role is told who can (403), and the attempt stands in the trail.

Beyond the role: signing gates 2 and 4, rolling back, agreeing, breaking the glass and countersigning need the password,
and the second factor where the person has one, given within the last ten minutes. Each decision needs a reason. Gate 2
and a rollback need the application's name typed in. One person fills one role at a gate; in small-team mode, a setting
of the plan, one person may sign QA and ops, and the author never signs as team lead. The second person of a rollback
holds the other role than the first: ops and a team lead decide it together.
"""


def write() -> str:
    """The page's text."""
    from tests.permissions.table import SECTIONS

    parts = [HEAD]
    for title, rows in SECTIONS.items():
        parts.append(f"\n## {title}\n\n| | {' | '.join(TITLES)} |\n|---|{'---|' * len(TITLES)}\n")
        for row in rows:
            marks = " | ".join("yes" if person in row.may else "" for person in COLUMNS)
            parts.append(f"| {row.does} | {marks} |\n")
    return "".join(parts)


def main() -> None:
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    import django

    django.setup()
    PAGE.write_text(write(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
