"""For rollback.sh of a live crossing: brings back to SQLite what PostgreSQL has, and opens the SQLite file.

Works without Causeway's services and its database; needs the packages of its environment and, where rows are brought
back, the address of PostgreSQL in TARGET_DATABASE_URL, whose password is kept nowhere beside the script.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrations_app.applications.supervision import write_private
from migrations_app.engine.capture import capture
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.conversions.inverse import forms_from_document
from migrations_app.engine.errors import EngineError, Refused
from migrations_app.engine.online import decisions, recovery
from migrations_app.engine.online.fall_back import fall_back
from migrations_app.engine.plan import plan_from_document
from migrations_app.engine.target.target_url import parse_target_url

NOTHING_TO_DO, FENCED, REFUSED, FAILED = 0, 10, 2, 3
_STEADY = 6


@dataclass(frozen=True)
class Crossing:
    """What the way back needs to know; no secret. busy_timeout_ms: how long locks are waited for."""

    pair: Pair
    forms: dict[str, Any]
    busy_timeout_ms: int
    certificates: Path | None = None


def write_crossing(path: Path, crossing: Crossing) -> None:
    """Write the file that this module reads, 0600."""
    document = {
        "source": str(crossing.pair.source),
        "identity": crossing.pair.identity,
        "plan": crossing.pair.plan.to_document(),
        "forms": crossing.forms,
        "busy_timeout_ms": crossing.busy_timeout_ms,
        "certificates": str(crossing.certificates) if crossing.certificates else "",
    }
    write_private(path, json.dumps(document, ensure_ascii=False).encode())


def look(document: dict[str, Any], configuration: str, *, give_up: bool) -> tuple[int, str]:
    """Whether there is something to do, and whether it can be done; changes nothing."""
    state = capture.read_state(Path(document["source"]))
    if state is None and configuration == "postgresql" and not give_up:
        return REFUSED, (
            "the SQLite file keeps nothing of the crossing: it was completed, or its rows were given up, and what was "
            "written on PostgreSQL since is not in the file"
        )
    if state is None or state.mode == "capture":
        return NOTHING_TO_DO, "SQLite takes writes: nothing has to be brought back"
    if give_up:
        return FENCED, "SQLite is closed; what waits in PostgreSQL would be given up"
    facts = recovery.look(_pair(document), configuration)
    decision = recovery.decide(facts)
    if decision.action in (decisions.ASK, decisions.WAIT):
        return REFUSED, decision.why
    return FENCED, decision.why


def bring_back(document: dict[str, Any], configuration: str, *, give_up: bool) -> str:
    """Open SQLite, with every row or, when they are given up, as of the last flow. Twice is once."""
    source = Path(document["source"])
    state = capture.read_state(source)
    if state is None or state.mode == "capture":
        return "SQLite takes writes already"
    busy = int(document["busy_timeout_ms"])
    if give_up:
        capture.remove(source, state.identity, busy_timeout_ms=busy)
        return "SQLite takes writes; what had not flowed back is in PostgreSQL only, and nothing follows any more"
    pair = _pair(document)
    if configuration == "sqlite":
        recovery.take_back(pair, busy_timeout_ms=busy)
        return "SQLite takes writes; the crossing had not been finished"
    for _ in range(_STEADY):
        decision = recovery.decide(recovery.look(pair, configuration))
        if decision.action == decisions.FLOW_BACK:
            forms = forms_from_document(document["forms"], pair.plan)
            back = fall_back(pair, forms, busy_timeout_ms=busy, signal_stop=lambda: None)
            return f"every change is in SQLite ({back.rows:,} rows and {back.deletes:,} deletes came last)"
        if decision.action != decisions.LIFT_FENCE:
            break
        recovery.mend(pair, configuration, busy_timeout_ms=busy)
        if (state := capture.read_state(source)) is not None and state.mode == "capture":
            return "SQLite takes writes; every change had come back before"
    raise Refused("IN_DOUBT", decision.why, "Compare both databases by hand.")


def _pair(document: dict[str, Any]) -> Pair:
    text = os.environ.get("TARGET_DATABASE_URL", "")
    if not text:
        raise Refused(
            "EMPTY_URL",
            "TARGET_DATABASE_URL is not set: the address of PostgreSQL, with its password, is kept nowhere here.",
            "export TARGET_DATABASE_URL=postgresql://user:password@host:port/database, then run this again.",
        )
    folder = Path(document["certificates"]) if document["certificates"] else None
    url = parse_target_url(text, certificates=folder, allow_unverified_remote=True)
    return Pair(Path(document["source"]), plan_from_document(document["plan"]), url, document["identity"])


def main() -> int:
    """`python -m migrations_app.applications.rows_back --crossing FILE --configuration WORD [--check]`: exit 0 nothing
    to do or done, 10 there is something to do (with --check), 2 refused and nothing changed, 3 failed."""
    parser = argparse.ArgumentParser(description="Bring a live crossing's rows back to SQLite.")
    parser.add_argument("--crossing", type=Path, required=True)
    parser.add_argument("--configuration", choices=("sqlite", "postgresql"), required=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--give-up-rows", action="store_true")
    given = parser.parse_args()
    try:
        document = json.loads(given.crossing.read_bytes())
        if given.check:
            status, said = look(document, given.configuration, give_up=given.give_up_rows)
        else:
            status, said = NOTHING_TO_DO, bring_back(document, given.configuration, give_up=given.give_up_rows)
    except EngineError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return REFUSED if isinstance(error, Refused) else FAILED
    print(said)
    return status


if __name__ == "__main__":
    sys.exit(main())
