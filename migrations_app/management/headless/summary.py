"""The result in a few lines on stdout."""

from __future__ import annotations

from migrations_app.engine.verify.report import DIFFERENT, EXPORTED, FAILED, LOADED, PLANNED, REFUSED, VERIFIED, Report
from migrations_app.management.headless.console import Console

_SHOWN = 20  # findings and differences without --detailed
_TITLES = {
    VERIFIED: "Verified: every cell is equal.",
    LOADED: "Loaded; not verified.",
    EXPORTED: "Exported.",
    PLANNED: "Planned; nothing was written.",
    DIFFERENT: "DIFFERENT: the target is not equal to the source.",
    REFUSED: "Refused: the target is untouched.",
    FAILED: "Failed on the way.",
}


def summarize(report: Report, console: Console, *, detailed: bool) -> None:
    """Findings, tables (with --detailed), what was not carried, differences, then the outcome."""
    document = report.to_document()
    limit = None if detailed else _SHOWN
    _findings(document["findings"], console, limit)
    if detailed:
        for table in document["tables"]:
            rows, cells, differences = (f"{table[key]:,}" for key in ("rows", "cells", "differences"))
            console.say(f"  {table['name']}: {rows} rows, {cells} cells, {differences} differences")
    tried = report.outcome not in (EXPORTED, PLANNED)  # before that the findings say the same
    for kind, group in document["objects"].items() if tried else ():
        for item in group["not_carried"]:
            console.say(f"  not carried ({kind}): {item['name']}: {item['why']}")
    _differences(report, console, limit, detailed=detailed)
    for phrase in document["inconclusive"]:
        console.say(f"  not proved: {phrase}")
    console.say(_title(report))
    for word, value in document["artefacts"].items():
        console.say(f"  {word}: {value}")
    rows, cells = (sum(table[key] for table in document["tables"]) for key in ("rows", "cells"))
    seconds = document["seconds"].get("total", 0.0)
    console.say(
        f"  {len(document['tables'])} tables, {rows:,} rows, {cells:,} cells compared,"
        f" {seconds:.1f} s, {document['peak_memory_mb']:.0f} MB"
    )
    if report.error is not None:
        console.note(f"{report.error.code}: {report.error.message}")
        if report.error.hint:
            console.note(f"  {report.error.hint}")


def _title(report: Report) -> str:
    checked = report.verified
    if report.outcome == DIFFERENT and checked is not None and not checked.difference_count:
        return "NOT PROVED: nothing that was compared differs, but not everything could be compared."
    if report.error is None and report.outcome == PLANNED and report.plan is not None and report.plan.open_findings:
        return f"Planned; {len(report.plan.open_findings)} finding(s) need a choice before anything is loaded."
    return _TITLES[report.outcome]


def _findings(findings: list[dict[str, object]], console: Console, limit: int | None) -> None:
    shown = sorted(findings, key=lambda finding: finding["severity"] != "refuse")[:limit]
    for finding in shown:
        where = ".".join(str(finding[key]) for key in ("table", "column") if finding[key])
        row = f" row {finding['row_key']}" if finding["row_key"] else ""
        console.say(f"  {finding['severity']} {finding['code']} {where}{row}: {finding['message']}")
        if finding["severity"] == "refuse" and not finding["choice"]:
            choices = finding["choices"]
            place = f"@{where}" if where else ""
            if isinstance(choices, list) and choices:
                console.say(f"    choose with --choose '{finding['code']}{place}=…': {', '.join(choices)}")
    if len(findings) > len(shown):
        console.say(f"  … and {len(findings) - len(shown)} more findings (see --report)")


def _differences(report: Report, console: Console, limit: int | None, *, detailed: bool) -> None:
    if report.verified is None:
        return
    shown = report.verified.differences[:limit]
    for found in shown:
        place = ".".join(part for part in (found.table, found.column) if part)
        unlike = found.source_value != found.target_value  # both empty: there are none to show
        values = f": {found.source_value!r} became {found.target_value!r}" if detailed and unlike else ""
        console.say(f"  {found.kind} {place} {found.row_key}{values}")
    if report.verified.difference_count > len(shown):
        console.say(f"  … and {report.verified.difference_count - len(shown):,} more differences")
