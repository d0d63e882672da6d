"""Moves a random database there and back, and looks at every cell by itself."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import row_converter
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.export import source_lines
from migrations_app.engine.export.export import Export, export_source, open_export
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import MODE_CREATE, ColumnPlan, MovePlan, TablePlan
from migrations_app.engine.planning.planning import check_plan, plan_with_profile
from migrations_app.engine.profile.profile import Profile
from migrations_app.engine.source.fingerprint import Fingerprint
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from migrations_app.engine.verify.compare import verify
from tests.migrations_app.engine.back_again import Back, Form, Stored, affinity_class, is_sound, stored_rows
from tests.migrations_app.engine.random_databases import Database, quote

# What a file can be refused for as a whole; anything else must be a finding with its place.
REFUSALS = frozenset({"NO_TABLES", "EMPTY_NAME"})
# Conversions chosen by a person that don't keep every difference.
MERGING = ("boolean_words", "epoch:ms", "epoch:s", "julian", "numeric_rounded", "time", "timestamp", "uuid")
_LAST = "GENERATED_AS_VALUES"
ROUNDS = 8  # of answering findings: one answer may raise the next question


class Target:
    """One database for all examples, emptied before each."""

    def __init__(self, url: str) -> None:
        self.url: TargetUrl = parse_target_url(url)
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = True

    def run(self, sql: str) -> list[tuple[str | None, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def empty(self) -> None:
        found = self.run("SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname ~ '^(public|causeway)'")
        for (name,) in found:
            self.run(f"DROP SCHEMA {name} CASCADE")
        self.run("CREATE SCHEMA public")

    def texts(self, table: TablePlan) -> list[tuple[str | None, ...]]:
        """Each loaded cell of a table as PostgreSQL prints it."""
        columns = ", ".join(f"CAST({quote(c.target_name)} AS text)" for c in table.loaded_columns)
        return self.run(f"SELECT {columns} FROM public.{quote(table.target_name)}")


class Prompt(threading.Event):
    """A stop flag whose watchers look up every few milliseconds: a move has a dozen of them, each waits to be over."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(0.01 if timeout is None else min(timeout, 0.01))


@contextmanager
def careful() -> Iterator[None]:
    """Rows go through Python, cell by cell, instead of being written by SQLite."""
    source_lines.FAST = False
    try:
        yield
    finally:
        source_lines.FAST = True


def there_and_back(
    target: Target, database: Database, chooser: int, wanted: Sequence[tuple[str, str]] = ()
) -> MovePlan | None:
    """The property itself. Gives the plan that was moved by, None when the move was refused; `wanted` are choices."""
    target.empty()
    with planned(database, chooser, wanted) as (source, plan, profile, folder):
        if plan is None:
            return None
        if not move(target, source, plan, profile, folder, chooser):
            return None
        for table in plan.tables:
            if table.is_loaded:
                assert_had_back(source, plan, table, target.texts(table))
    return plan


def there_on_paper(database: Database, chooser: int) -> None:
    """Without a target: the texts that PostgreSQL is to print give every cell back."""
    with planned(database, chooser) as (source, plan, _profile, _folder):
        if plan is None:
            return
        for table in plan.tables:
            if table.is_loaded:
                convert = row_converter(table)
                texts = [convert(row) for row in source.rows(table.name, [c.name for c in table.loaded_columns])]
                assert_had_back(source, plan, table, [_as_printed(table, row) for row in texts if row is not None])


def _as_printed(table: TablePlan, texts: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """COPY writes 't' and 'f', a cast to text 'true' and 'false'."""
    words = {"t": "true", "f": "false", None: None}
    pairs = zip(table.loaded_columns, texts, strict=True)
    return tuple(words[text] if column.target_type == "boolean" else text for column, text in pairs)


@contextmanager
def planned(
    database: Database, chooser: int, wanted: Sequence[tuple[str, str]] = ()
) -> Iterator[tuple[Source, MovePlan | None, Profile, Path]]:
    """The open file, its plan (None when it is refused as it should be), its profile and a folder."""
    with tempfile.TemporaryDirectory(prefix="causeway-property-") as name:
        path = database.build(Path(name) / "source.db")
        with open_source(path) as source:
            plan, profile = answered_or_refused(source, chooser, dict(wanted))
            assert plan is None or check_plan(plan, source) == ()
            yield source, plan, profile, Path(name)


def answered_or_refused(source: Source, chooser: int, choices: dict[str, str]) -> tuple[MovePlan | None, Profile]:
    """No plan where the file is refused as a whole, or for a finding that names its place and has no choices."""
    try:
        source.check_integrity()
        plan, profile = answered_plan(source, chooser, choices)
    except Refused as refusal:
        assert refusal.code in REFUSALS or (refusal.code == "CORRUPT" and not is_sound(source.path)), refusal
        return None, Profile(())
    assert all(finding.table and not finding.choices for finding in plan.open_findings), plan.open_findings
    return (None if plan.open_findings else plan), profile


def answered_plan(source: Source, chooser: int, choices: dict[str, str]) -> tuple[MovePlan, Profile]:
    """A plan with an answer to each question that has answers; `chooser` 0 always takes the first."""
    for _ in range(ROUNDS):
        plan, profile = plan_with_profile(source, mode=MODE_CREATE, choices=sorted(choices.items()), control=Control())
        answers = dict(answers_to(plan, chooser, choices))
        if not answers:
            return plan, profile
        # What a generated column can be chosen to be depends on its type: that question comes last.
        choices |= {key: answers[key] for key in answers if not key.startswith(_LAST)} or answers
    raise AssertionError(f"new questions after {ROUNDS} rounds of answers")


def answers_to(plan: MovePlan, chooser: int, choices: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A choice for each finding that `choices` don't answer yet."""
    for finding in plan.findings:
        place = ".".join(part for part in (finding.table, finding.column) if part)
        key = f"{finding.code}@{place}" if place else finding.code
        offered = finding.choices
        if offered and choices.keys().isdisjoint((key, finding.code)):
            number = zlib.crc32(f"{chooser} {key}".encode()) if chooser else 0
            yield key, offered[number % len(offered)]


def move(target: Target, source: Source, plan: MovePlan, profile: Profile, folder: Path, chooser: int) -> bool:
    """Export both ways, load, verify against the file or the export. False where keys collided that were chosen so."""
    control = Control(stop=Prompt())
    made = export_source(source, plan, folder / "fast", Control(), quick_fingerprint(source.path), profile=profile)
    with careful():
        again = export_source(source, plan, folder / "careful", Control(), quick_fingerprint(source.path))
    exports = [open_export(folder / "fast"), open_export(folder / "careful")]
    assert chunks(exports[0]) == chunks(exports[1]), (made.tables, again.tables)
    export = exports[chooser // 2 % 2]  # without a profile rows are loaded cell by cell
    try:
        load_export(export, plan, target.url, run_key="property", lease=None, jobs=1, control=control)
    except Failed as failure:
        assert failure.code == "OBJECT_REFUSED" and keys_may_collide(plan), failure
        assert target.run("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []
        return False
    result = verify(export if chooser % 2 else source, plan, target.url, control=control)
    assert result.equal, result.differences
    left = target.run("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'causeway_%'")
    assert left == []
    return True


def keys_may_collide(plan: MovePlan) -> bool:
    """Whether choices let two values of a unique key become one, which is known only once the rows are there."""
    return any(
        item.kind in ("primary_key", "unique", "index")
        and {c.target_name for c in table.columns if is_merging(plan, table, c)} & set(item.detail["columns"])
        for table in plan.tables
        for item in table.objects
        if item.carried
    )


def is_merging(plan: MovePlan, table: TablePlan, column: ColumnPlan) -> bool:
    chosen = {f.choice for f in plan.findings if (f.table, f.column) == (table.name, column.name)}
    return column.conversion in MERGING or column.conversion.startswith("text_bytes:") or "text" in chosen


def chunks(export: Export) -> dict[str, bytes]:
    """The bytes of every file of rows."""
    return {path.name: path.read_bytes() for path in sorted(export.directory.glob("*.jsonl"))}


def quick_fingerprint(path: Path) -> Fingerprint:
    """Like fingerprint(), without the child process."""
    raw = path.read_bytes()
    main = hashlib.sha256(raw).hexdigest()
    digest = hashlib.sha256("\n".join((main, "", "")).encode()).hexdigest()
    return Fingerprint(main, len(raw), "", 0, digest)


def assert_had_back(source: Source, plan: MovePlan, table: TablePlan, texts: Sequence[tuple[str | None, ...]]) -> None:
    """Every row of the file, each cell bit for bit, but for what the plan says is left out or changed by choice."""
    columns = table.loaded_columns
    strict = source.schema.table(table.name).strict
    ways = [way_back(plan, table.name, column, strict=strict) for column in columns]
    must: Counter[tuple[Form, ...]] = Counter()
    may: Counter[tuple[Form, ...]] = Counter()
    for row in stored_rows(source.path, table.name, [column.name for column in columns]):
        promised = tuple(way.promised(cell) for way, cell in zip(ways, row, strict=True))
        (may if may_be_left_out(ways, row) else must)[promised] += 1
    arrived = Counter(tuple(way.cell(text) for way, text in zip(ways, row, strict=True)) for row in texts)
    assert not must - arrived, (table.name, "rows are missing", must - arrived, columns)
    assert not arrived - must - may, (table.name, "rows are no longer what they were", arrived - must - may, columns)


def may_be_left_out(ways: list[Back], row: tuple[Stored, ...]) -> bool:
    return any(way.column.on_unfit == "skip_row" and not way.fits(cell) for way, cell in zip(ways, row, strict=True))


def way_back(plan: MovePlan, table: str, column: ColumnPlan, *, strict: bool) -> Back:
    found = [finding for finding in plan.findings if (finding.table, finding.column) == (table, column.name)]
    return Back(column, plan.encoding, affinity_class(column.declared_type, strict), found)
