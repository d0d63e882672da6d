"""What to do next, whatever died: a table over the three durable facts (docs/decisions/0015-the-live-crossing.md).

Pure: it looks at Facts and touches nothing. What isn't in the table is in doubt: nothing is done, a person is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.engine.online.facts import (
    CAPTURE,
    FENCED,
    FOLLOWING,
    GIVEN_BACK,
    NONE,
    POSTGRESQL,
    SQLITE,
    TAKEN_OVER,
    UNKNOWN,
    Facts,
)

# Nothing to mend: go on with what that state is for.
NOTHING = "nothing"  # neither side keeps anything of ours
COPY = "copy"  # capture is in place, PostgreSQL follows nothing yet
FOLLOW = "follow"  # SQLite is live, PostgreSQL follows
FLOW_BACK = "flow_back"  # PostgreSQL is live, writes flow back
# To be mended by recovery.mend().
REVERT = "revert"  # the phase goes back to following: SQLite is live
FINISH_CROSSING = "finish_crossing"  # nobody is live: PostgreSQL holds all, the configuration is renamed
LIFT_FENCE = "lift_fence"  # nobody is live: SQLite holds all; its fence is lifted
RENAME_BACK = "rename_back"  # SQLite is open again, the configuration isn't renamed yet
END = "end"  # one side keeps what is left of a replication that ended
# Nobody but a person.
WAIT = "wait"  # a side can't be asked
ASK = "ask"  # in doubt

SETTLED = frozenset({NOTHING, COPY, FOLLOW, FLOW_BACK})
NOBODY, IN_DOUBT = "nobody", "in_doubt"


@dataclass(frozen=True)
class Decision:
    """`live`: 'sqlite', 'postgresql', 'nobody' or 'in_doubt'. `why`: a sentence for the person who looks.

    `configuration`: what it must name in the end, once mend() has done the engine's part.
    """

    action: str
    live: str
    configuration: str
    why: str

    @property
    def settled(self) -> bool:
        """Whether the engine has nothing to mend. The configuration may still have to be changed."""
        return self.action in SETTLED


def decide(facts: Facts) -> Decision:
    """The table, after what makes any answer doubtful."""
    if UNKNOWN in (facts.sqlite, facts.postgresql):
        return _half_seen(facts)
    if not facts.same:
        return _ask(facts, "the two sides don't belong together: a file or a database was swapped or restored")
    if NONE in (facts.sqlite, facts.postgresql):
        return _one_sided(facts)
    return _both(facts)


def _both(facts: Facts) -> Decision:
    state = (facts.sqlite, facts.postgresql, facts.configuration)
    if facts.head < facts.position:
        return _ask(facts, "SQLite's log ends before the position of PostgreSQL: an older file was put in its place")
    if state == (CAPTURE, FOLLOWING, SQLITE):
        return Decision(FOLLOW, SQLITE, SQLITE, "The application works on SQLite, PostgreSQL follows.")
    if state in ((CAPTURE, TAKEN_OVER, SQLITE), (CAPTURE, GIVEN_BACK, SQLITE)):
        if facts.queue_waiting:
            return _ask(facts, "SQLite takes writes, but changes made on PostgreSQL never reached it")
        why = "The freeze ended before its commit" if facts.postgresql == TAKEN_OVER else "SQLite took over again"
        return Decision(REVERT, SQLITE, SQLITE, f"{why}: PostgreSQL follows again.")
    if state == (FENCED, TAKEN_OVER, SQLITE):
        if facts.head != facts.position:
            return _ask(facts, "SQLite is closed, but PostgreSQL doesn't hold all of its changes")
        return Decision(
            FINISH_CROSSING, NOBODY, POSTGRESQL, "SQLite is closed and PostgreSQL holds all: it is started there."
        )
    if state == (FENCED, TAKEN_OVER, POSTGRESQL):
        return Decision(FLOW_BACK, POSTGRESQL, POSTGRESQL, "The application works on PostgreSQL, writes flow back.")
    if facts.sqlite == FENCED and facts.postgresql == GIVEN_BACK:
        if facts.queue_waiting:
            return _ask(facts, "PostgreSQL was given up for SQLite, but changes made on it never reached SQLite")
        return Decision(LIFT_FENCE, NOBODY, SQLITE, "PostgreSQL is closed and SQLite holds all: it is opened again.")
    if state == (CAPTURE, GIVEN_BACK, POSTGRESQL):
        return Decision(RENAME_BACK, NOBODY, SQLITE, "SQLite is open again: the application is started there.")
    return _ask(facts, "no crash of a crossing leaves this")


def _half_seen(facts: Facts) -> Decision:
    """One side can't be asked. With capture and the configuration on SQLite it is live whatever the other says."""
    if (facts.sqlite, facts.configuration) == (CAPTURE, SQLITE):
        return Decision(
            WAIT, SQLITE, SQLITE, f"The application works on SQLite; PostgreSQL can't be asked: {facts.problem}"
        )
    if (facts.postgresql, facts.configuration) == (TAKEN_OVER, POSTGRESQL):
        return Decision(WAIT, POSTGRESQL, POSTGRESQL, f"PostgreSQL is live; SQLite can't be asked: {facts.problem}")
    return Decision(WAIT, IN_DOUBT, facts.configuration, f"A side can't be asked: {facts.problem}")


def _one_sided(facts: Facts) -> Decision:
    """One side, or both, keep nothing of ours: before a copy, after an end, or between the two halves of one."""
    conf = facts.configuration
    if (facts.sqlite, facts.postgresql) == (NONE, NONE):
        return Decision(NOTHING, conf, conf, "Neither side keeps anything of a live crossing.")
    if (facts.sqlite, conf) == (CAPTURE, SQLITE):
        return Decision(COPY, SQLITE, SQLITE, "SQLite keeps its log; PostgreSQL holds no copy that follows it yet.")
    if (facts.sqlite, conf) == (FENCED, POSTGRESQL):
        return Decision(END, POSTGRESQL, POSTGRESQL, "PostgreSQL is live and the replication was being ended.")
    if (facts.postgresql, conf) in ((FOLLOWING, SQLITE), (TAKEN_OVER, POSTGRESQL)):
        return Decision(
            END, conf, conf, "SQLite's side of the replication is gone: what PostgreSQL keeps of it can go."
        )
    return _ask(facts, "one side keeps nothing of the replication that the other knows")


def _ask(facts: Facts, why: str) -> Decision:
    said = f"SQLite: {facts.sqlite}, PostgreSQL: {facts.postgresql}, configuration: {facts.configuration}"
    return Decision(ASK, IN_DOUBT, facts.configuration, f"In doubt ({said}): {why}. Nothing was done.")
