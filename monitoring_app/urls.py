"""Monitoring's addresses."""

from __future__ import annotations

from django.urls import path

from monitoring_app.views import (
    advice,
    alerts,
    daily,
    health,
    links,
    mails,
    queries,
    readiness,
    recipients,
    rules,
    settings,
    silences,
    target,
)

urlpatterns = [
    path("healthz", readiness.healthz, name="healthz"),
    path("readyz", readiness.readyz, name="readyz"),
    path("metrics", readiness.metrics, name="metrics"),
    path("health/", health.show, name="health"),
    path("health/live/", health.live, name="health_live"),
    path("health/<slug:name>/", target.show, name="target"),
    path("health/<slug:name>/live/", target.live, name="target_live"),
    path("health/<slug:name>/watch/", health.watch, name="target_watch"),
    path("health/<slug:name>/queries/", queries.show, name="target_queries"),
    path("health/<slug:name>/advice/", advice.show, name="target_advice"),
    path("health/<slug:name>/vacuum/", advice.vacuum, name="target_vacuum"),
    path("health/<slug:name>/daily/", daily.show, name="target_daily"),
    path("health/<slug:name>/rules/", rules.show, name="target_rules"),
    path("health/<slug:name>/rules/<slug:code>/", rules.edit, name="target_rule"),
    path("health/<slug:name>/settings/", settings.show, name="target_settings"),
    path("health/<slug:name>/recipients/", recipients.of_target, name="target_recipients"),
    path("health/<slug:name>/silence/", silences.new, name="silence_new"),
    path("alerts/", alerts.show, name="alerts"),
    path("alerts/live/", alerts.live, name="alerts_live"),
    path("alerts/<int:number>/", alerts.one, name="alert"),
    path("alerts/<int:number>/do/", alerts.act, name="alert_do"),
    path("alerts/silences/", silences.show, name="silences"),
    path("alerts/silences/<int:number>/end/", silences.end, name="silence_end"),
    path("alerts/recipients/", recipients.show, name="recipients"),
    path("alerts/mails/", mails.show, name="alert_mails"),
    path("alerts/mails/<int:number>/again/", mails.again, name="alert_mail_again"),
    # Behind links of mails, for people without an account: the signed token is the right.
    path("told/acknowledge/<str:token>/", links.acknowledge, name="told_acknowledge"),
    path("told/confirm/<str:token>/", links.confirm, name="told_confirm"),
    path("told/unsubscribe/<str:token>/", links.unsubscribe, name="told_unsubscribe"),
]
