"""A certificate's sections about what was done: the run, its time away, what was compared, its steps and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrations_app.models.states import Strategy
from migrations_app.services.certificate.layout_parts import SHORT, Section, Table, clock, many, role_title, table_of
from migrations_app.services.words import in_words


def what(content: Mapping[str, Any]) -> Section:
    run, plan = content["run"], content["plan"]
    start, end, zone = plan["window"]
    facts = [
        ("Application", f"{content['application']['name']} on host {content['application']['host']}"),
        ("Run", f"{run['number']}, {run['kind']}, {run['strategy']}"),
        ("Asked for by", run["requested_by"]),
        ("Started by", run["started_by"] or "–"),
        ("Began", clock(run["started_at"])),
        ("Switched", clock(run["switched_at"])),
        ("Ended", clock(run["finished_at"])),
        ("Plan", f"revision {plan['revision']} by {plan['author']}, mode {plan['schema_mode'] or '–'}"),
        ("Plan's digest", plan["digest"]),
        ("Window", f"{clock(start)} to {clock(end)} ({zone})" if start else "none"),
        ("Rehearsal", f"run {content['rehearsal']}" if content["rehearsal"] else "none of this plan"),
        ("Backups kept until", content["backup_kept_until"]),
    ]
    return Section("What was done", facts=tuple(facts))


def down(content: Mapping[str, Any]) -> Section:
    down = content["down"]
    planned = in_words(down["planned_seconds"]) if down["planned_seconds"] else "–"
    online = content["run"]["strategy"] == Strategy.ONLINE
    title = "Time away" if online else "Downtime"
    if down["seconds"] is None:
        return Section(title, ("It was not measured: the application was not stopped, or not started again.",))
    facts = (
        ("Measured", in_words(down["seconds"])),
        ("Planned", planned),
        ("Writers waited from" if online else "Stopped", clock(down["since"])),
        ("Well again", clock(down["until"])),
    )
    return Section(title, facts=facts)


def freeze(content: Mapping[str, Any]) -> Section | None:
    """Of an online run: the moment in which it crossed."""
    freeze = content["freeze"]
    if freeze is None:
        return None
    facts = [
        (name, f"{freeze[key]:,.0f}{unit}")
        for key, name, unit in (
            ("locked_ms", "SQLite's write lock was held for", " ms"),
            ("gap_ms", "Between two writes, with the restart", " ms"),
            ("rows", "Rows applied meanwhile", ""),
            ("deletes", "Keys deleted meanwhile", ""),
        )
        if isinstance(freeze[key], int | float)
    ]
    said = (
        "The application went on writing while its rows crossed. In the freeze nobody could write: the last changes "
        "were applied and read back, then SQLite was fenced and the application restarted on PostgreSQL.",
    )
    return Section("The freeze", said, tuple(facts))


def verified(content: Mapping[str, Any]) -> Section:
    verified = content["verification"]
    if verified is None:
        return Section("Verification", ("None: the run ended before.",))
    said = [
        "Every value was equal." if verified["equal"] else f"{many(verified['differences'], 'difference')} found.",
        *(
            [f"{many(verified['changed_since_the_switch'], 'row')} had changed since the switch; no differences."]
            if verified["changed_since_the_switch"]
            else []
        ),
        *(
            f"{kind.replace('_', ' ').capitalize()}: {carried:,} of {there:,} carried."
            for kind, (there, carried) in verified["objects"].items()
        ),
        *(
            f"{row['table']}.{row['column']}: {row['opened'] or 0:,} of {row['cells'] or 0:,} encrypted cells open."
            for row in verified["decrypted"]
        ),
    ]
    rows = tuple(
        (
            row["name"] if row["name"] == row["target_name"] else f"{row['name']} as {row['target_name']}",
            f"{row['rows'] or 0:,}",
            f"{row['target_rows'] or 0:,}",
            f"{row['cells'] or 0:,}",
            f"{row['differences'] or 0:,}",
        )
        for row in verified["tables"]
    )
    head = ("Table", "Rows in SQLite", "Rows in PostgreSQL", "Cells compared", "Differences")
    table = Table(head, rows, (0.36, 0.16, 0.18, 0.16, 0.14), frozenset({1, 2, 3, 4}))
    facts = [("Compared", clock(verified["at"])), ("Evidence", verified["digest"])]
    if verified["position"] is not None:
        facts.insert(1, ("At position", f"{verified['position']:,} of the log of changes, on both sides"))
    return Section("Verification", tuple(said), tuple(facts), table if rows else None)


def not_compared(content: Mapping[str, Any]) -> Section:
    points = tuple(content["not_compared"])
    said = () if points else ("Nothing was left out.",)
    return Section("What was not compared", said, points=points)


def timeline(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (
            row["title"],
            ", ".join(role_title(role) for role in row["owner"].split(", ")),
            in_words(row["planned_seconds"]) if row["planned_seconds"] else "–",
            in_words(row["actual_seconds"]) if row["actual_seconds"] is not None else "–",
            clock(row["actual_start"]),
            clock(row["actual_end"]),
        )
        for row in content["timeline"]
    )
    head = ("Phase", "Owner", "Planned", "Actual", "From", "Until")
    last = content["plan"]["last_safe_moment"]
    said = (f"The last safe moment was {clock(last)}.",) if last else ()
    return Section("Timeline", said, table=table_of(head, rows, (0.18, 0.14, 0.14, 0.14, 0.2, 0.2)))


def findings(content: Mapping[str, Any]) -> Section | None:
    rows = tuple(
        (
            row["code"],
            ".".join(part for part in (row["table"], row["column"]) if part) or "–",
            f"{row['count']:,}",
            row["choice"] or "–",
        )
        for row in content["plan"]["findings"]
    )
    if not rows:
        return None
    table = Table(("Finding", "Where", "Values", "Choice"), rows, (0.32, 0.32, 0.12, 0.24), frozenset({2}))
    return Section("Findings of the plan, and what was chosen", table=table)


def steps(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (
            row["title"],
            row["state"].replace("_", " "),
            clock(row["started_at"]),
            clock(row["finished_at"]),
            row["evidence"][:SHORT] or "–",
        )
        for row in content["steps"]
    )
    head = ("Step", "State", "From", "Until", "Evidence")
    return Section("Steps", table=table_of(head, rows, (0.3, 0.11, 0.21, 0.21, 0.17)))


def files(content: Mapping[str, Any]) -> Section | None:
    rows = tuple(
        (row["kind"].replace("_", " "), row["name"], f"{row['size']:,}", row["sha256"]) for row in content["files"]
    )
    if not rows:
        return None
    said = ("They stay where the run made them; they hold the application's data and are in no bundle.",)
    table = Table(("File", "Name", "Bytes", "SHA-256"), rows, (0.15, 0.2, 0.13, 0.52), frozenset({2}))
    return Section("Files that the run made", said, table=table)
