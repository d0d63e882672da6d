"""A whole move in one call, as the commands make it: plan, export, load, verify."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from migrations_app.engine.control import Control
from migrations_app.engine.export.export import export_source, open_export
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import MODE_CREATE, MovePlan
from migrations_app.engine.planning.plan_existing_rules import RowRules
from migrations_app.engine.planning.planning import plan_with_profile
from migrations_app.engine.profile.profile import Profile
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.target import connect, transaction
from migrations_app.engine.target.target_catalog import read_schema
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare import VerifyResult, verify
from tests.migrations_app.engine.moves import RUN

Choices = Sequence[tuple[str, str]]


def planned(
    source: Source, url: TargetUrl, mode: str, choices: Choices = (), schema: str = "public"
) -> tuple[MovePlan, Profile]:
    """In mode existing against the target's schema and its rules for rows."""
    if mode == MODE_CREATE:
        return plan_with_profile(source, mode=mode, target_schema=schema, choices=choices)
    connection = connect(url, application_name="causeway:test:0")
    try:
        with transaction(connection, "planning") as cursor:
            there, rules = read_schema(cursor, schema), RowRules(cursor, schema)
            return plan_with_profile(
                source, mode=mode, target_schema=schema, target=there, choices=choices, rules=rules
            )
    finally:
        connection.close()


def move(
    path: Path, url: TargetUrl, mode: str = MODE_CREATE, choices: Choices = (), schema: str = "public"
) -> tuple[MovePlan, VerifyResult]:
    """Every finding must be answered by `choices`."""
    with open_source(path) as source, tempfile.TemporaryDirectory() as folder:
        plan, profile = planned(source, url, mode, choices, schema)
        assert plan.open_findings == ()
        export_source(source, plan, Path(folder) / "export", Control(), fingerprint(path), profile=profile)
        load_export(open_export(Path(folder) / "export"), plan, url, run_key=RUN, lease=None)
        return plan, verify(source, plan, url)


def again(path: Path, plan: MovePlan, url: TargetUrl) -> VerifyResult:
    """Verified once more."""
    with open_source(path) as source:
        return verify(source, plan, url)
