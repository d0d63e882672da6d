"""The table's part of what is watched: an alert that fires, a silence, a recipient, a failed mail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from controlplane.mail.models import MailState, OutgoingMail
from monitoring_app.models import Alert, AlertRule, AlertState, Recipient, Series, Silence
from monitoring_app.services import alerts, silences, targets
from tests.permissions import world as scenes
from tests.permissions.world import World


def watched() -> World:
    """The alert fires, nobody has it."""
    world = scenes.loading()
    target = targets.watch(application=world.application, actor="system")
    now = timezone.now()
    series = Series.objects.create(
        target=target, metric="query_time", last_at=now, last_value=612.0, checked_at=now, view="full"
    )
    Alert.objects.create(
        rule=AlertRule.objects.get(target=target, code="query-time"), series=series, state=AlertState.FIRING,
        began_at=now - timedelta(minutes=5), fired_at=now - timedelta(minutes=3), value=612, peak=688, threshold=500,
    )  # fmt: skip
    silences.open_silence(
        application=world.application, rule=None, ends_at=now + timedelta(hours=1), reason="rehearsal", by="system",
        now=now,
    )  # fmt: skip
    Recipient.objects.create(application=world.application, address="night@example.com", nonce="a" * 32)
    OutgoingMail.objects.create(
        key="alert:1", recipient="recipient:1", to_name="Night desk", to_address="night@example.com", kind="alert",
        application=world.application.name, about="alert:1", subject="[WARNING] yukyu: Queries are slow",
        template="alert", state=MailState.FAILED, error_code="SMTP_550", created_at=now, next_attempt_at=now,
    )  # fmt: skip
    return world


def owned() -> World:
    """The same; ops have the alert."""
    world = watched()
    alerts.acknowledge(alert=Alert.objects.get(), who=world.people["ops"], now=timezone.now())
    return world


def unwatched() -> World:
    return scenes.loading()


def _of_target(world: World) -> list[Any]:
    return [world.application.name]


def _of_alert(world: World) -> list[Any]:
    return [Alert.objects.get().pk]


def _rule_as_it_is(world: World) -> dict[str, Any]:
    rule = AlertRule.objects.get(code="query-time")
    names = (
        "severity", "clear_threshold", "for_seconds", "keep_seconds", "window_seconds", "minimum_events",
        "minimum_bad", "no_data", "no_data_seconds", "repeat_seconds", "escalate_seconds", "first_thing",
    )  # fmt: skip
    return {name: getattr(rule, name) for name in names} | {"enabled": "on", "threshold": 700, "do": "save"}


def _recipient(do: str) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"do": do, "recipient": Recipient.objects.get().pk}


def sections(row: Any, *, signed_in: tuple[str, ...], sees: tuple[str, ...], may: tuple[str, ...]) -> dict[str, Any]:
    """The sections, in the table's own rows."""

    def page(name: str, does: str, args: Callable[[World], list[Any]] = _of_target) -> Any:
        return row(name, does, sees, watched, args)

    def opened(name: str, does: str) -> Any:
        return row(name, does, signed_in, watched, lambda world: [])

    def change(name: str, does: str, args: Any, data: Any, scene: Any = watched, **more: Any) -> Any:
        return row(name, does, may, scene, args, data, **more)

    return {
        "Health and alerts": (
            opened("health", "see the health of one's own applications"),
            opened("health_live", "follow it"),
            opened("alerts", "see the alerts of one's own applications"),
            opened("alerts_live", "follow them"),
            opened("silences", "see their silences"),
            opened("recipients", "see who is told"),
            opened("alert_mails", "see what was sent"),
            page("target", "see an application's limits in depth"),
            page("target_live", "follow them"),
            page("target_queries", "see its queries"),
            page("target_advice", "see its advice"),
            page("target_daily", "see its daily verifications"),
            page("target_rules", "see its rules"),
            page("target_rule", "see a rule, and what it would have done", lambda w: ["yukyu", "query-time"]),
            page("target_settings", "see what is watched"),
            page("target_recipients", "see its recipients"),
            page("silence_new", "open the form of a silence"),
            page("alert", "see an alert", _of_alert),
        ),
        "Watching and telling": (
            change("target_watch", "put an application under watch", _of_target, lambda w: {}, unwatched),
            change(
                "target_settings",
                "change what is watched",
                _of_target,
                lambda w: {"enabled": "on", "replicas": "tokyo"},
            ),
            change("target_rule", "change a rule", lambda w: ["yukyu", "query-time"], _rule_as_it_is),
            change(
                "target_recipients",
                "add a recipient",
                _of_target,
                lambda w: {"do": "add", "address": "new@example.com", "severity": "warning", "zone": "UTC"},
            ),
            change("target_recipients", "change what a recipient hears of", _of_target, _recipient("change")),
            change("target_recipients", "remove a recipient", _of_target, _recipient("remove")),
            change("alert_do", "take charge of an alert", _of_alert, lambda w: {"do": "acknowledge"}),
            change("alert_do", "give an alert back", _of_alert, lambda w: {"do": "give_back"}, owned),
            change("silence_new", "silence alerts", _of_target, lambda w: {"minutes": "60", "reason": "A rehearsal."}),
            change("silence_end", "end a silence", lambda w: [Silence.objects.get().pk], lambda w: {}),
            change("target_vacuum", "ask for VACUUM ANALYZE", _of_target, lambda w: {}),
        ),
    }
