"""Random databases, exported and had back: the folder gives the same file again, the single document the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from migrations_app.engine.back.rebuild import rebuild_source
from migrations_app.engine.backup.content import digest_content
from migrations_app.engine.control import Control
from migrations_app.engine.export.export import export_source, open_export
from migrations_app.engine.export.single_document import import_single_document, write_single_document
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.profile.profile import Profile
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from tests.migrations_app.engine.random_databases import Database, databases
from tests.migrations_app.engine.round_trip import planned, quick_fingerprint
from tests.migrations_app.engine.test_property import choosers, few, many


@given(databases(objects=False), choosers)
@settings(few, max_examples=40)
def test_random_exports_give_the_file_and_its_rows_back(database: Database, chooser: int) -> None:
    exported_and_back(database, chooser)


@pytest.mark.chaos
@given(databases(objects=False), choosers)
@many
def test_many_random_exports_give_the_file_and_its_rows_back(database: Database, chooser: int) -> None:
    exported_and_back(database, chooser)


def exported_and_back(database: Database, chooser: int) -> None:
    with planned(database, chooser) as (source, plan, profile, folder):
        if plan is not None:
            assert_file_comes_back(source, plan, profile, folder)
            assert_document_comes_back(source, plan, folder)


def assert_file_comes_back(source: Source, plan: MovePlan, profile: Profile, folder: Path) -> None:
    """Schema, every stored cell, and what sqlite_sequence has given out."""
    export_source(source, plan, folder / "export", Control(), quick_fingerprint(source.path), profile=profile)
    rebuild_source(open_export(folder / "export"), folder / "again.db", Control())
    with open_source(folder / "again.db") as again:
        one, other = digest_content(source, Control()), digest_content(again, Control())
        assert other.table_digests == one.table_digests
        assert again.schema.digest == source.schema.digest
        assert again.schema.sequences == source.schema.sequences
        assert again.schema.encoding == source.schema.encoding
        assert other.digest == one.digest


def assert_document_comes_back(source: Source, plan: MovePlan, folder: Path) -> None:
    path = folder / "document.json"
    written = write_single_document(source, plan, path, Control(), quick_fingerprint(source.path))
    read = import_single_document(path, folder / "imported", Control())
    assert read.tables == written.tables
    export = open_export(folder / "imported")
    for table in export.tables:
        # repr tells -0.0 from 0.0 and 1 from 1.0.
        assert repr(list(export.rows(table.name))) == repr(list(source.rows(table.name, table.column_names)))
