"""What the load test's evidence proves: answers in time, nobody refused, no time-outs, the pool as it should be."""

from __future__ import annotations

from migrations_app.applications.refusal_words import EXHAUSTED, TIMEOUTS
from migrations_app.models import ChecklistItem, RunStep
from migrations_app.models.states import ItemState
from migrations_app.services.proof_kinds import Evidence, Proof, judged, proof

# statement and lock time-outs, no connection free, idle in a transaction for too long: errcodes-appendix.html
_TIMEOUT_STATES = frozenset({"57014", "55P03", "53300", "25P03"})


@proof("in_time")
def _in_time(item: ChecklistItem, step: RunStep) -> Proof:
    times, limit = step.evidence["judged"], step.evidence["limit_ms"]
    slow = [one["name"] for one in times if one["p95_after"] > limit or one["problem"]]
    said = f"p95 {max(one['p95_after'] for one in times):,.0f} ms, limit {limit:,} ms, {_load(step)}"
    return judged(not slow, said + (f"; slower: {', '.join(slow)}" if slow else ""), times)


def _load(step: RunStep) -> str:
    load = step.evidence["load"]
    return f"{load['per_second']} a second from {load['clients']} clients for {load['seconds']} s"


@proof("all_served")
def _all_served(item: ChecklistItem, step: RunStep) -> Proof:
    together, loaded = step.evidence["parallel"], step.evidence["under_load"]
    refused = sum(one["failures"] for one in (*together, *loaded))
    asked = sum(one["requests"] for one in (*together, *loaded))
    if not together or not asked:
        return Proof(ItemState.INCONCLUSIVE, "No request was made.")
    said = f"{asked - refused:,} of {asked:,} served, {step.evidence['clients']} at the same time"
    return judged(not refused, said, together)


@proof("no_timeouts")
def _no_timeouts(item: ChecklistItem, step: RunStep) -> Proof:
    """Of what the application answered, of what the server counted, and, where its log is read, of what that named."""
    database, refusals = step.evidence["database"], step.evidence["refusals"]
    if not sum(one["requests"] for one in step.evidence["under_load"]):
        return Proof(ItemState.INCONCLUSIVE, "No request was made.")
    late = {kind: count for kind, count in refusals.items() if kind in TIMEOUTS}
    log = database.get("log_errors")
    late |= {state: count for state, count in (log or {}).items() if state in _TIMEOUT_STATES and count}
    late |= {name: database[name] for name in ("sessions_killed", "sessions_fatal") if database.get(name)}
    read = "in answers, counters and its log" if log is not None else "in answers and counters; its log isn't read"
    said = "; ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in late.items()) or f"none {read}"
    return judged(not late, said, {"refusals": refusals, **database})


@proof("not_slower")
def _not_slower(item: ChecklistItem, step: RunStep) -> Proof:
    known = [one for one in step.evidence["judged"] if one["p95_before"] is not None]
    if not known:
        return Proof(ItemState.INCONCLUSIVE, "There are no times on SQLite to compare with.")
    slower = [
        f"{one['name']} {one['p95_after']:,.0f} ms, was {one['p95_before']:,.0f}"
        for one in known
        if one["p95_after"] > one["p95_before"]
    ]
    return judged(not slower, "; ".join(slower) or f"{len(known)} endpoints, none slower", known)


@proof("measured")
def _measured(item: ChecklistItem, step: RunStep) -> Proof:
    before, now = step.evidence["baseline"], step.evidence["under_load"]
    if not before or not now:
        return Proof(ItemState.INCONCLUSIVE, "Times of before or after are missing.")
    said = f"{len(before)} endpoints before, {len(now)} after, {_load(step)}"
    return Proof(ItemState.PASSED, said, [before, now])


# --- Its pool of connections


@proof("pool_opens")
def _pool_opens(item: ChecklistItem, step: RunStep) -> Proof:
    """Connections are seen from outside while clients are served at the same time."""
    sessions, together = step.evidence["pool"]["sessions"], step.evidence["parallel"]
    if sessions["problem"] or not sessions["peak"]["looks"]:
        return Proof(ItemState.INCONCLUSIVE, sessions["problem"] or "Nobody looked at its sessions.", sessions)
    refused = sum(one["failures"] for one in together)
    opened = sessions["peak"]["total"]
    return judged(opened > 0 and not refused, f"{opened} connections open, {refused} requests refused", sessions)


@proof("pool_size")
def _pool_size(item: ChecklistItem, step: RunStep) -> Proof:
    """Its own word against the size that is set, and what PostgreSQL saw against what it may hold at the most."""
    pool = step.evidence["pool"]
    word, peak = pool["word"]["after"], pool["sessions"]["peak"]["total"]
    wrong, known = [], []
    if pool["configured"] and word["size"] is not None:
        known.append(f"it says {word['size']}, {pool['configured']} is set")
        wrong += known if word["size"] != pool["configured"] else []
    if pool["most"] and not pool["sessions"]["problem"]:
        known.append(f"at most {peak} connections seen, {pool['most']} allowed")
        wrong += known[-1:] if peak > pool["most"] else []
    if not known:
        return Proof(ItemState.INCONCLUSIVE, word["problem"] or "Its size is described nowhere.", pool)
    return judged(not wrong, "; ".join(wrong or known), pool)


@proof("pool_holds")
def _pool_holds(item: ChecklistItem, step: RunStep) -> Proof:
    """Nobody was refused for want of a connection, and afterwards all connections come to rest."""
    pool, refusals = step.evidence["pool"], step.evidence["refusals"]
    dry = {kind: count for kind, count in refusals.items() if kind in EXHAUSTED}
    refused = sum(one["failures"] for one in (*step.evidence["parallel"], *step.evidence["under_load"]))
    if dry or refused:
        said = ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in dry.items())
        return Proof(ItemState.FAILED, said or f"{refused:,} requests were refused", refusals)
    problem = pool["sessions"]["problem"] or _hidden(pool["sessions"])
    if problem:
        return Proof(ItemState.INCONCLUSIVE, f"Nobody was refused; {problem}", pool)
    seconds = pool["at_rest_after_seconds"]
    before, after = (pool["word"][when]["used"] for when in ("before", "after"))
    if seconds is None or (before is not None and after is not None and after > before):
        return Proof(ItemState.FAILED, "its connections did not come to rest after the load", pool)
    return Proof(ItemState.PASSED, f"nobody refused, at rest {seconds:,.1f} s after the load", pool)


def _hidden(sessions: Evidence) -> str:
    hidden = (sessions["after"] or {}).get("hidden", 0)
    return f"the state of {hidden} of its sessions is hidden from the target's role" if hidden else ""
