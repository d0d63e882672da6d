"""What can't be done now is given up with its reason, and the side that was live goes on."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import psycopg2
import pytest

from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.online import calm, fall_back, full_check, recovery
from migrations_app.engine.online.facts import POSTGRESQL, SQLITE
from migrations_app.engine.replay import backward
from migrations_app.engine.replay.backward import Flowed, Returner
from migrations_app.engine.target.target import connect, transaction
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from tests.migrations_app.engine.online.conftest import MakeStage
from tests.migrations_app.engine.online.test_crossing import FEW
from tests.migrations_app.engine.online.test_kills import prepared


def code_of(caught: pytest.ExceptionInfo[Failed]) -> str:
    assert caught.value.message and caught.value.hint
    return caught.value.code


@contextmanager
def never_calm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(calm, "_PATIENCE", 0.0)
        patched.setattr(calm.Calm, "after", lambda *_: False)
        yield


def test_neither_way_begins_while_the_other_side_is_far_behind(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = prepared(make_stage)
    with never_calm(monkeypatch), pytest.raises(Failed) as caught:
        stage.cross()
    assert code_of(caught) == "LAG_TOO_LARGE" and stage.application.configuration == SQLITE
    stage.cross()
    stage.application.wait_for(FEW)
    with never_calm(monkeypatch), pytest.raises(Failed) as caught:
        stage.come_back()
    assert code_of(caught) == "QUEUE_TOO_LARGE" and stage.application.configuration == POSTGRESQL
    stage.application.wait_for(FEW * 2)


def test_a_fall_back_gives_up_before_a_lock_that_stays_and_before_a_queue_that_isnt_empty(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = prepared(make_stage)
    stage.cross()
    stage.application.wait_for(FEW)
    table = f'"{stage.pair.plan.target_schema}"."{stage.pair.plan.tables[0].target_name}"'
    with closing(psycopg2.connect(**stage.pair.url.connect_arguments())) as held, held.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        with monkeypatch.context() as patched, pytest.raises(Failed) as caught:
            patched.setattr(fall_back, "_ATTEMPTS", 2)
            stage.come_back()
    assert code_of(caught) == "FALL_BACK_GAVE_UP"
    with monkeypatch.context() as patched, pytest.raises(Failed) as caught:
        patched.setattr(Returner, "flow_from", lambda *_: Flowed(0, 0, 0, 0.0))
        patched.setattr(fall_back, "queue_waiting", lambda _: True)
        stage.come_back()
    assert code_of(caught) == "QUEUE_LEFT"
    assert stage.recover().live == POSTGRESQL
    stage.application.wait_for(FEW)


def test_a_record_of_changes_that_shrinks_meanwhile_is_not_called_home(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = prepared(make_stage)
    stage.cross()
    stage.application.wait_for(FEW)
    monkeypatch.setattr(backward, "take_from_queue", lambda _: -1)
    with (
        Returner(stage.pair, stage.forms, busy_timeout_ms=5000) as returner,
        pytest.raises(Failed) as caught,
    ):
        returner.flow()
    assert code_of(caught) == "QUEUE_CHANGED"


def test_a_full_check_that_others_overtook_means_nothing(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = prepared(make_stage)
    monkeypatch.setattr(full_check, "_then", lambda _: (10**9, ()))
    with pytest.raises(Failed) as caught:
        stage.check()
    assert code_of(caught) == "POSITION_MOVED"


def test_recovery_waits_for_a_side_that_is_away_and_for_a_lock(make_stage: MakeStage) -> None:
    stage = prepared(make_stage)
    stage.application.stop()
    nowhere = replace(stage.pair, url=parse_target_url("postgresql://nobody:nothing@127.0.0.1:9/none"))
    with pytest.raises(Failed) as caught:
        recovery.mend(nowhere, POSTGRESQL)
    assert code_of(caught) == "SIDE_UNREACHABLE"
    with closing(sqlite3.connect(stage.source, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        with pytest.raises(Failed) as caught:
            recovery.take_back(stage.pair, busy_timeout_ms=100)
    assert code_of(caught) == "SQLITE_BUSY"


def test_two_sessions_that_change_the_same_rows_are_told_so(applier_url: TargetUrl | str) -> None:
    url = parse_target_url(applier_url) if isinstance(applier_url, str) else applier_url
    caught: list[EngineError] = []

    def change(connection: Any, first: int, second: int, met: threading.Barrier) -> None:
        try:
            with transaction(connection, "changing both") as cursor:
                cursor.execute("UPDATE public.both SET n = n + 1 WHERE id = %s", (first,))
                met.wait(10)
                cursor.execute("UPDATE public.both SET n = n + 1 WHERE id = %s", (second,))
        except EngineError as error:
            caught.append(error)

    with closing(connect(url, application_name="a")) as one, closing(connect(url, application_name="b")) as two:
        with transaction(one, "making it") as cursor:
            cursor.execute(
                "CREATE TABLE public.both (id int PRIMARY KEY, n int); INSERT INTO public.both VALUES (1, 0), (2, 0)"
            )
        met = threading.Barrier(2)
        threads = [threading.Thread(target=change, args=given) for given in ((one, 1, 2, met), (two, 2, 1, met))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [error.code for error in caught] == ["TARGET_CONFLICT"]
