"""A certificate's content put into sections: what is said first, and in which words. Both renderings set these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.registry.models import Role
from migrations_app.models.states import ApprovalState, ItemState, Phase, Price, Strategy
from migrations_app.services.words import in_words

Rows = tuple[tuple[str, ...], ...]
SHORT = 16  # of a digest in a table; the whole one stands in the JSON, and where it matters
_FINE = (ItemState.PASSED, ItemState.NOT_APPLICABLE, ItemState.WAIVED)


@dataclass(frozen=True)
class Table:
    """numbers: the columns that align right. widths: shares of the line, for print."""

    head: tuple[str, ...]
    rows: Rows
    widths: tuple[float, ...]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Section:
    title: str
    said: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    table: Table | None = None
    points: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    title: str
    answer: str
    good: bool  # whether the answer is what was hoped for when the run began
    summary: str
    sections: tuple[Section, ...]


def lay_out(content: Mapping[str, Any]) -> Layout:
    """The certificate as it is read, from the top."""
    name = content["application"]["title"] or content["application"]["name"]
    done = content["outcome"] == "completed"
    return Layout(
        title=f"Certificate of run {content['run']['number']}",
        answer=f"{name} runs on PostgreSQL" if done else f"{name} was taken back to SQLite",
        good=done,
        summary=_summary(content, done),
        sections=tuple(
            section
            for section in (
                _what(content),
                _down(content),
                _freeze(content),
                _verified(content),
                _not_compared(content),
                _signatures(content),
                _lapses(content),
                _waivers(content),
                _rollback(content),
                _checklist(content),
                _timeline(content),
                _findings(content),
                _steps(content),
                _files(content),
            )
            if section is not None
        ),
    )


def _summary(content: Mapping[str, Any], done: bool) -> str:
    verified = content["verification"]
    down = content["down"]["seconds"]
    away = f" The application was away for {in_words(down)}." if down is not None else ""
    if not done:
        return f"The run was rolled back; what became of its rows stands below.{away}"
    if verified is None:
        return f"No verification was recorded.{away}"
    if verified["equal"]:
        return (
            f"{_many(verified['rows'], 'row')} and {_many(verified['cells'], 'cell')} of "
            f"{_many(len(verified['tables']), 'table')} were compared one by one, and are equal.{away}"
        )
    return f"{_many(verified['differences'], 'difference')} found by the verification.{away}"


def _what(content: Mapping[str, Any]) -> Section:
    run, plan = content["run"], content["plan"]
    start, end, zone = plan["window"]
    facts = [
        ("Application", f"{content['application']['name']} on host {content['application']['host']}"),
        ("Run", f"{run['number']}, {run['kind']}, {run['strategy']}"),
        ("Asked for by", run["requested_by"]),
        ("Started by", run["started_by"] or "–"),
        ("Began", _clock(run["started_at"])),
        ("Switched", _clock(run["switched_at"])),
        ("Ended", _clock(run["finished_at"])),
        ("Plan", f"revision {plan['revision']} by {plan['author']}, mode {plan['schema_mode'] or '–'}"),
        ("Plan's digest", plan["digest"]),
        ("Window", f"{_clock(start)} to {_clock(end)} ({zone})" if start else "none"),
        ("Rehearsal", f"run {content['rehearsal']}" if content["rehearsal"] else "none of this plan"),
        ("Backups kept until", content["backup_kept_until"]),
    ]
    return Section("What was done", facts=tuple(facts))


def _down(content: Mapping[str, Any]) -> Section:
    down = content["down"]
    planned = in_words(down["planned_seconds"]) if down["planned_seconds"] else "–"
    online = content["run"]["strategy"] == Strategy.ONLINE
    title = "Time away" if online else "Downtime"
    if down["seconds"] is None:
        return Section(title, ("It was not measured: the application was not stopped, or not started again.",))
    facts = (
        ("Measured", in_words(down["seconds"])),
        ("Planned", planned),
        ("Writers waited from" if online else "Stopped", _clock(down["since"])),
        ("Well again", _clock(down["until"])),
    )
    return Section(title, facts=facts)


def _freeze(content: Mapping[str, Any]) -> Section | None:
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


def _verified(content: Mapping[str, Any]) -> Section:
    verified = content["verification"]
    if verified is None:
        return Section("Verification", ("None: the run ended before.",))
    said = [
        "Every value was equal." if verified["equal"] else f"{_many(verified['differences'], 'difference')} found.",
        *(
            [f"{_many(verified['changed_since_the_switch'], 'row')} had changed since the switch; no differences."]
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
    facts = [("Compared", _clock(verified["at"])), ("Evidence", verified["digest"])]
    if verified["position"] is not None:
        facts.insert(1, ("At position", f"{verified['position']:,} of the log of changes, on both sides"))
    return Section("Verification", tuple(said), tuple(facts), table if rows else None)


def _not_compared(content: Mapping[str, Any]) -> Section:
    points = tuple(content["not_compared"])
    said = () if points else ("Nothing was left out.",)
    return Section("What was not compared", said, points=points)


def _signatures(content: Mapping[str, Any]) -> Section:
    decisions = content["decisions"]
    used = (ApprovalState.VALID, ApprovalState.CONSUMED)
    rows = tuple(
        (gate["title"], row["role_title"], row["name"], _clock(row["signed_at"]), row["reason"])
        for gate, row in _each(decisions)
        if row["state"] in used
    )
    said = []
    if decisions["small_team"]:
        said.append("Small-team mode: two people decided; one of them may have signed as QA and as ops.")
    said += [
        f"{hand['name']} signed {_gate_title(decisions, hand['gate'])} as "
        f"{' and as '.join(_role(role) for role in hand['roles'])}."
        for hand in decisions["shared_hands"]
    ]
    if not rows:
        said.append("Nobody signed.")
    head = ("Gate", "Role", "Who", "When", "Reason")
    return Section("Signatures", tuple(said), table=_table(head, rows, (0.2, 0.12, 0.13, 0.2, 0.35)))


def _lapses(content: Mapping[str, Any]) -> Section | None:
    words = {
        ApprovalState.LAPSED: "lapsed",
        ApprovalState.WITHDRAWN: "withdrawn",
        ApprovalState.REFUSAL: "refused",
    }
    rows = tuple(
        (
            gate["title"],
            f"{row['name']}, {row['role_title']}",
            words[row["state"]],
            _clock(row["ended_at"] or row["signed_at"]),
            row["ended_reason"] or row["reason"],
        )
        for gate, row in _each(content["decisions"])
        if row["state"] in words
    )
    if not rows:
        return None
    head = ("Gate", "Who", "What became of it", "When", "Why")
    return Section("Refused, lapsed and withdrawn", table=_table(head, rows, (0.2, 0.17, 0.13, 0.2, 0.3)))


def _waivers(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (f"{row['code']} {row['title']}", row["level"], row["by"] or "–", _clock(row["at"]), row["reason"])
        for row in content["decisions"]["waivers"]
    )
    head = ("Item", "Level", "Waived by", "When", "Why")
    said = () if rows else ("None.",)
    return Section("Waivers", said, table=_table(head, rows, (0.28, 0.12, 0.12, 0.2, 0.28)))


def _rollback(content: Mapping[str, Any]) -> Section | None:
    requests = content["decisions"]["rollbacks"]
    left = content["left_behind"]
    if left is None and not requests:
        return None
    said = []
    if left is not None and left["unknown"]:
        said.append("What was written to PostgreSQL since the switch was not saved: it is still there, and only there.")
    elif left is not None and left["rows"]:
        said.append(f"{_many(left['rows'], 'row')} left the application and were saved to a file first.")
        said.append(f"The file's SHA-256: {left['sha256']}")
    elif left is not None:
        flowed = content["run"]["strategy"] == Strategy.ONLINE and content["run"]["switched_at"]
        said.append(f"No row was lost{': what had been written to PostgreSQL flowed back' if flowed else ''}.")
    rows = tuple(
        (
            row["requested_by"],
            _price(row),
            row["state"],
            _agreement(row),
            row["reason"],
        )
        for row in requests
    )
    head = ("Asked by", "Price", "State", "Second person", "Reason")
    return Section("Rollback", tuple(said), table=_table(head, rows, (0.12, 0.2, 0.1, 0.28, 0.3)))


def _price(row: Mapping[str, Any]) -> str:
    if row["price"] == Price.R3 and row["lossless"]:
        return "Rows had changed; they flowed back"
    return str(Price(row["price"]).label) if row["price"] in Price.values else str(row["price"])


def _agreement(row: Mapping[str, Any]) -> str:
    if row["break_glass"]:
        if row["countersigned_by"]:
            return f"broke the glass; countersigned by {row['countersigned_by']}, {_clock(row['countersigned_at'])}"
        return f"broke the glass; not countersigned (due {_clock(row['countersign_by'])})"
    return f"{row['agreed_by']}, {_clock(row['agreed_at'])}" if row["agreed_by"] else "none was needed"


def _checklist(content: Mapping[str, Any]) -> Section:
    items = content["checklist"]
    back = [item for item in items if item["phase"] == Phase.ROLLBACK] if content["outcome"] == "completed" else []
    mandatory = [item for item in items if item["level"] == "mandatory" and item not in back]
    fine = sum(item["state"] in _FINE for item in mandatory)
    rows = tuple(
        (
            f"{item['code']} {item['title']}",
            item["level"],
            _prover(item),
            ItemState(item["state"]).label if item["state"] in ItemState.values else item["state"],
            _noted(item),
        )
        for item in items
    )
    head = ("Item", "Level", "Proved by", "State", "Evidence")
    said = [f"{fine} of {len(mandatory)} mandatory items passed, were waived or do not apply."]
    if back:
        said.append(f"{_many(len(back), 'item')} of the way back stayed open: nothing was rolled back.")
    return Section("Checklist", tuple(said), table=_table(head, rows, (0.3, 0.13, 0.12, 0.13, 0.32)))


def _prover(item: Mapping[str, Any]) -> str:
    by = item["results"][-1]["by"] if item["results"] else ""
    if item["prover"] == "system":
        return "the system"
    return by or _role(item["prover"])


def _noted(item: Mapping[str, Any]) -> str:
    if item["results"]:
        last = item["results"][-1]
        files = f" ({_many(len(last['files']), 'file')})" if last["files"] else ""
        return f"{last['note']}{files}"
    return str(item["proof"])[:SHORT]


def _timeline(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (
            row["title"],
            ", ".join(_role(role) for role in row["owner"].split(", ")),
            in_words(row["planned_seconds"]) if row["planned_seconds"] else "–",
            in_words(row["actual_seconds"]) if row["actual_seconds"] is not None else "–",
            _clock(row["actual_start"]),
            _clock(row["actual_end"]),
        )
        for row in content["timeline"]
    )
    head = ("Phase", "Owner", "Planned", "Actual", "From", "Until")
    last = content["plan"]["last_safe_moment"]
    said = (f"The last safe moment was {_clock(last)}.",) if last else ()
    return Section("Timeline", said, table=_table(head, rows, (0.18, 0.14, 0.14, 0.14, 0.2, 0.2)))


def _findings(content: Mapping[str, Any]) -> Section | None:
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


def _steps(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (
            row["title"],
            row["state"].replace("_", " "),
            _clock(row["started_at"]),
            _clock(row["finished_at"]),
            row["evidence"][:SHORT] or "–",
        )
        for row in content["steps"]
    )
    head = ("Step", "State", "From", "Until", "Evidence")
    return Section("Steps", table=_table(head, rows, (0.3, 0.11, 0.21, 0.21, 0.17)))


def _files(content: Mapping[str, Any]) -> Section | None:
    rows = tuple(
        (row["kind"].replace("_", " "), row["name"], f"{row['size']:,}", row["sha256"]) for row in content["files"]
    )
    if not rows:
        return None
    said = ("They stay where the run made them; they hold the application's data and are in no bundle.",)
    table = Table(("File", "Name", "Bytes", "SHA-256"), rows, (0.15, 0.2, 0.13, 0.52), frozenset({2}))
    return Section("Files that the run made", said, table=table)


def _each(decisions: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return [(gate, row) for gate in decisions["gates"] for row in gate["signatures"]]


def _gate_title(decisions: Mapping[str, Any], code: str) -> str:
    return next((str(gate["title"]) for gate in decisions["gates"] if gate["code"] == code), code)


def _role(role: str) -> str:
    return Role(role).label if role in Role.values else role


def _table(head: tuple[str, ...], rows: Rows, widths: tuple[float, ...]) -> Table | None:
    return Table(head, rows, widths) if rows else None


def _many(count: int, word: str) -> str:
    return f"{count:,} {word if count == 1 else word + 's'}"


def _clock(moment: str | None) -> str:
    """2026-11-23 21:52:07 UTC, from ISO 8601 in UTC."""
    if not moment:
        return "–"
    day, _, rest = moment.partition("T")
    return f"{day} {rest[:8]} UTC"


__all__: Sequence[str] = ("Layout", "Section", "Table", "lay_out")
