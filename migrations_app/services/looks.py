"""Looks: what was typed is put before the worker of the host, which looks at it, before it is saved.

A web server is seldom on the application's host: it sees neither the file nor what that host reaches. The row is the
question; the bell wakes the worker, and the sweep rings again. What is answered stands in the row, beside the field
that it is about.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from controlplane.redaction import redact
from controlplane.registry.models import Application, Host, Look, LookKind, LookState
from controlplane.registry.secrets import SecretUnreadable
from migrations_app import doorbell
from migrations_app.applications.looks import look_at_rehearsal_server, look_at_source, look_at_target
from migrations_app.engine.errors import EngineError, Refused
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.services import hosts
from migrations_app.services.addresses import FIELD_OF_CODE, URL_OF, Address, parsed
from migrations_app.services.errors import FieldsRefused, ServiceRefused, Stale
from migrations_app.services.registration import change_section, refuse_under_runs, require_may_change
from migrations_app.services.section_rules import clean_section
from migrations_app.services.sections import FREE, SECTIONS
from migrations_app.steps import workplace

LOOK = "migrations_app.look"
# What no draft may hold: the operator decides it, or two would write to one place.
FORBIDDEN = frozenset(
    {
        *("PATH_NOT_ALLOWED", "HOST_NOT_ALLOWED", "REMOTE_WITHOUT_TLS", "URL_PARAMETER", "BAD_URL", "EMPTY_URL"),
        *("CONTROL_DATABASE", "SAME_TARGET"),
    }
)
_FORGOTTEN = timedelta(minutes=10)  # a question that nobody saved: its address goes
_LOOK_EVERY = 0.1


def ask_look(
    *,
    actor: Any,
    application: Application,
    kind: str,
    values: Mapping[str, Any],
    address: Address | None,
    version: int,
) -> Look:
    """Put what was typed before the host's worker. values {} asks about what is stored.

    Raises Forbidden, Stale, FieldsRefused, ServiceRefused RUN_DEPENDS_ON_IT: there is no use in looking then.
    """
    require_may_change(actor, application)
    with transaction.atomic():
        row = Application.objects.select_for_update().get(pk=application.pk)
        if row.version != version:
            raise Stale(f"{row.name} was changed after you opened this page; nothing was saved.")
        if values:
            cleaned = clean_section(row, kind, values, Host.objects.filter(name=row.host).first())
            if set(cleaned) - FREE:
                refuse_under_runs(row, SECTIONS[kind].title)
        Look.objects.filter(application=row, kind=kind, state__in=[LookState.ASKED, LookState.ANSWERED]).update(
            state=LookState.DROPPED, url=""
        )
        look = Look(
            application=row,
            kind=kind,
            values=dict(values),
            version=version,
            asked_by=actor,
            asked_at=timezone.now(),
        )
        look.url = address.url if address is not None and address.host else ""
        look.save()
        doorbell.ring(LOOK, look.pk, row.host_queue)
    return look


def await_answer(look: Look, seconds: float = 1.5) -> Look:
    """The look once it is answered, or as it is after a moment: a page must not wait longer for a worker."""
    until = time.monotonic() + seconds
    while True:
        look = Look.objects.select_related("application").get(pk=look.pk)
        if look.state != LookState.ASKED or time.monotonic() >= until:
            return look
        time.sleep(_LOOK_EVERY)


def work_on_look(*, look_id: int) -> bool:
    """Look, on the host, and answer; whether this call did. Looking twice does no harm: the first answer stays."""
    look = Look.objects.select_related("application").get(pk=look_id)
    if look.state != LookState.ASKED:
        return False
    host = Host.objects.filter(name=look.application.host).first()
    if host is not None:
        hosts.describe_host(host_id=host.pk)
    answer = _answer(look)
    with transaction.atomic():
        row = Application.objects.select_for_update().get(pk=look.application_id)
        about_stored = not look.values
        state = LookState.SAVED if about_stored else LookState.ANSWERED
        done = Look.objects.filter(pk=look.pk, state=LookState.ASKED).update(
            state=state, answer=answer, answered_at=timezone.now()
        )
        if done and about_stored and row.version == look.version:
            row.seen = {**row.seen, look.kind: _seen(look, answer)}
            row.save(update_fields=["seen"])
    return bool(done)


def save_look(*, actor: Any, look: Look, unchecked: bool = False) -> Application:
    """Store what was looked at. unchecked: although it wasn't answered, or something is wrong that can be mended later.

    Raises FieldsRefused with the answer's problem, ServiceRefused NOT_LOOKED_AT, and what change_section() raises.
    """
    if look.state not in (LookState.ASKED, LookState.ANSWERED) or not look.values:
        raise Stale("This was saved already, or something newer was typed.")
    problem = look.answer.get("problem")
    if problem and (not unchecked or problem["code"] in FORBIDDEN):
        raise FieldsRefused({problem["field"]: f"{problem['message']} {problem['hint']}".strip()})
    if look.state == LookState.ASKED and not unchecked:
        raise ServiceRefused(
            "NOT_LOOKED_AT",
            f"No worker of {look.application.host} has answered yet.",
            hint=f"Is the worker of {look.application.host} running? Or save it unchecked, as a draft.",
        )
    with transaction.atomic():
        changed = change_section(
            actor=actor,
            application=look.application,
            section=look.kind,
            values=look.values,
            version=look.version,
            address=_address(look),
            seen=_seen(look, look.answer) if look.answer else None,
        )
        Look.objects.filter(pk=look.pk).update(state=LookState.SAVED, url="")
    return changed


def may_save_unchecked(look: Look) -> bool:
    """Whether a draft may hold what was typed although it is not proved."""
    problem = look.answer.get("problem")
    return (
        bool(look.values)
        and look.state in (LookState.ASKED, LookState.ANSWERED)
        and (problem is None or problem["code"] not in FORBIDDEN)
    )


def sweep_looks(*, now: datetime) -> int:
    """Ring again for what isn't answered, and forget the addresses of what nobody saved; part of the sweep."""
    old = Look.objects.filter(state__in=[LookState.ASKED, LookState.ANSWERED], asked_at__lt=now - _FORGOTTEN)
    old.update(state=LookState.DROPPED, url="")
    waiting = Look.objects.filter(state=LookState.ASKED).select_related("application")
    for look in waiting:
        with transaction.atomic():
            doorbell.ring(LOOK, look.pk, look.application.host_queue)
    return len(waiting)


def _address(look: Look) -> Address | None:
    """The typed address; one without a host where it was left empty on purpose, None for a section without one."""
    if look.kind not in URL_OF:
        return None
    text = look.url.reveal()
    if not text:
        return Address() if look.values.get("without_address") else None
    url = parsed(text)
    certificate = url.sslrootcert.rpartition("/")[2]
    return Address(url.host, url.port, url.database, url.user, url.password, url.sslmode, certificate)


def _seen(look: Look, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"at": timezone.now().isoformat(), "host": look.application.host, **answer}


def _answer(look: Look) -> dict[str, Any]:
    try:
        return {"problem": None, "facts": _facts(look)}
    except EngineError as error:
        field = "source_path" if look.kind == LookKind.SOURCE else FIELD_OF_CODE.get(error.code, "host")
        problem = {"code": error.code, "message": redact(error.message), "hint": redact(error.hint), "field": field}
        return {"problem": problem, "facts": {}}


def _facts(look: Look) -> dict[str, Any]:
    """Raises the engine's errors, as Refused with what the person can do."""
    application = look.application
    if look.kind == LookKind.SOURCE:
        return _source_facts(look.values.get("source_path") or application.source_path)
    text = _text_of(look)
    if not text:
        return {}
    url = workplace.allowed_target(text)
    schema = look.values.get("target_schema") or application.target_schema
    if look.kind == LookKind.REHEARSAL:
        return look_at_rehearsal_server(url, application.target_schema)
    facts = look_at_target(url, schema)
    _refuse_taken(application, url, schema, facts)
    return facts


def _text_of(look: Look) -> str:
    """The address to look at: what was typed, else what is stored; rehearsals without one use the target's server."""
    names = [URL_OF[look.kind], *([URL_OF[LookKind.TARGET]] if look.kind == LookKind.REHEARSAL else [])]
    try:
        if typed := look.url.reveal():
            return str(typed)
        stored = [str(getattr(look.application, name).reveal()) for name in names]
    except SecretUnreadable as unreadable:
        raise Refused("SECRET_UNREADABLE", str(unreadable), unreadable.hint) from None
    if look.values.get("without_address"):
        stored = stored[1:]
    return next((text for text in stored if text), "")


def _source_facts(text: str) -> dict[str, Any]:
    path = workplace.operator_file().inside_roots(text)
    own = settings.DATABASES["default"]
    both_files = "sqlite3" in own["ENGINE"] and os.path.exists(own["NAME"]) and path.exists()
    if both_files and os.path.samefile(path, own["NAME"]):
        raise Refused("CONTROL_DATABASE", "That is Causeway's own database.", "Name the application's file.")
    return look_at_source(path)


def _refuse_taken(application: Application, url: TargetUrl, schema: str, facts: Mapping[str, Any]) -> None:
    """Causeway's own database, or another application's target. Raises Refused CONTROL_DATABASE, SAME_TARGET."""
    if facts["identity"] and facts["identity"] == _own_identity():
        raise Refused("CONTROL_DATABASE", f"{url.redacted} is Causeway's own database.", "Name another database.")
    for other in Application.objects.exclude(pk=application.pk):
        theirs = (other.seen.get("target") or {}).get("facts") or {}
        same = theirs.get("identity") and theirs.get("identity") == facts["identity"]
        if same and other.target_schema == schema:
            raise Refused(
                "SAME_TARGET",
                f"{url.redacted} is the target of {other.name} already.",
                "Each application needs a database, or a schema, of its own.",
            )


def _own_identity() -> str:
    """Of the control database where it is PostgreSQL; '' else, and where its role may not read it."""
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')")
        if not cursor.fetchone()[0]:
            return ""
        cursor.execute(
            "SELECT (SELECT system_identifier FROM pg_control_system()), oid FROM pg_database"
            " WHERE datname = current_database()"
        )
        system, oid = cursor.fetchone()
        return f"{system}/{oid}"
