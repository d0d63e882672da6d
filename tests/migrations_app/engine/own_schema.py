"""Moves a random database into a schema that is there already: the one that the plan of mode create makes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed
from migrations_app.engine.export.export import export_source, open_export
from migrations_app.engine.load import clean
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import MODE_EXISTING, MovePlan
from migrations_app.engine.planning.planning import check_plan
from migrations_app.engine.profile.profile import Profile
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.verify.compare import verify
from tests.migrations_app.engine.random_databases import Database, quote
from tests.migrations_app.engine.round_trip import (
    ROUNDS,
    Prompt,
    Target,
    answers_to,
    is_merging,
    move,
    planned,
    quick_fingerprint,
)
from tests.migrations_app.engine.whole_moves import planned as planned_into

RUN = "property"
_Printed = dict[str, Counter[tuple[str | None, ...]]]


def into_its_own_schema(target: Target, database: Database, chooser: int) -> MovePlan | None:
    """The property itself. Gives the plan of mode existing, None where one of the moves was refused."""
    target.empty()
    with planned(database, chooser) as (source, made, profile, folder):
        if made is None or not move(target, source, made, profile, folder, chooser):
            return None
        printed = _printed(target, made)
        clean.remove_traces(target.url, RUN)
        _emptied(target, made)
        plan, again = _answered(target, source, chooser)
        if plan.open_findings:
            assert all(finding.table and not finding.choices for finding in plan.open_findings), plan.open_findings
            return None
        assert check_plan(plan, source) == ()
        if not _loaded(target, source, plan, again, folder, chooser):
            assert _printed(target, made) == {name: Counter() for name in printed}
            return None
        for name in _alike(made, plan):
            assert _printed(target, made)[name] == printed[name], name
    return plan


def _printed(target: Target, plan: MovePlan) -> _Printed:
    return {table.name: Counter(target.texts(table)) for table in plan.tables if table.is_loaded}


def _emptied(target: Target, plan: MovePlan) -> None:
    names = [f"public.{quote(table.target_name)}" for table in plan.tables if table.is_loaded]
    if names:
        target.run(f"TRUNCATE {', '.join(names)} RESTART IDENTITY")


def _answered(target: Target, source: Source, chooser: int) -> tuple[MovePlan, Profile]:
    choices: dict[str, str] = {}
    for _ in range(ROUNDS):
        plan, profile = planned_into(source, target.url, MODE_EXISTING, sorted(choices.items()))
        more = dict(answers_to(plan, chooser, choices))
        if not more:
            return plan, profile
        choices |= more
    raise AssertionError(f"new questions after {ROUNDS} rounds of answers")


def _loaded(target: Target, source: Source, plan: MovePlan, profile: Profile, folder: Path, chooser: int) -> bool:
    control = Control(stop=Prompt())
    export_source(source, plan, folder / "own", Control(), quick_fingerprint(source.path), profile=profile)
    export = open_export(folder / "own")
    try:
        load_export(export, plan, target.url, run_key=RUN, lease=None, jobs=1, control=control)
    except Failed as failure:
        assert failure.code in ("VALUE_REFUSED", "FOREIGN_KEY_VIOLATED"), failure
        return False
    result = verify(export if chooser % 2 else source, plan, target.url, control=control)
    assert result.equal, (result.differences, result.inconclusive)
    return True


def _alike(made: MovePlan, plan: MovePlan) -> list[str]:
    """Tables of which both moves bring every row, each column in the same way."""
    found = []
    for table in plan.tables:
        if not table.is_loaded or not made.table(table.name).is_loaded:
            continue
        before = {column.name: column for column in made.table(table.name).loaded_columns}
        pairs = [(column, before.get(column.name)) for column in table.loaded_columns]
        same = all(
            old is not None
            and old.conversion.partition(":")[0].removesuffix("_strict") == new.conversion.partition(":")[0]
            and {old.on_unfit, new.on_unfit} == {"fail"}
            and not is_merging(made, made.table(table.name), old)
            for new, old in pairs
        )
        if same and len(pairs) == len(before):
            found.append(table.name)
    return found
