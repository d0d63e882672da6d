"""Forms of monitoring's pages. They check what was typed; the services decide what it may be."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from django import forms

from controlplane.pages.lengths import LengthField
from controlplane.pages.styled import Styled
from monitoring_app.metrics import Unit
from monitoring_app.models import AlertRule, NoData, Severity, Target
from monitoring_app.services.amounts import metric_of

SILENCES: Final = (
    ("30", "30 minutes"),
    ("60", "1 hour"),
    ("120", "2 hours"),
    ("480", "8 hours"),
    ("1440", "1 day"),
    ("10080", "7 days"),
)


class NoteForm(Styled, forms.Form):
    """Taking charge of an alert."""

    note = forms.CharField(
        label="What you do about it",
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"placeholder": "moving segments"}),
        help_text="Others read it beside your name. May stay empty.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class SilenceForm(Styled, forms.Form):
    """rules: those of the application; empty means all of them."""

    rule = forms.ChoiceField(label="Which alerts", required=False)
    minutes = forms.ChoiceField(label="For how long", choices=SILENCES, initial="60")
    reason = forms.CharField(
        label="Reason",
        max_length=300,
        widget=forms.TextInput(),
        help_text="Who is not told will ask. Kept in the audit trail.",
        error_messages={"required": "Give a reason: it stays beside your name."},
    )

    def __init__(self, *args: Any, rules: list[AlertRule], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["rule"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [("", "All alerts of the application"), *((rule.code, rule.title) for rule in rules)]
        self.dress()

    @property
    def length(self) -> timedelta:
        return timedelta(minutes=int(self.cleaned_data["minutes"]))


HEARS_OF: Final = ((Severity.WARNING.value, "All alerts"), (Severity.CRITICAL.value, "Critical alerts only"))


class RecipientForm(Styled, forms.Form):
    """A person without an account who is told."""

    address = forms.EmailField(label="Mail address", max_length=254)
    name = forms.CharField(label="Name", max_length=100, required=False)
    severity = forms.ChoiceField(label="Hears of", choices=HEARS_OF, initial=Severity.WARNING)
    zone = forms.CharField(
        label="Time zone", initial="UTC", max_length=60, help_text="Times in mails, beside UTC: Asia/Tokyo."
    )
    digest = forms.BooleanField(label="Gets the daily verification", required=False, initial=True)
    escalation = forms.BooleanField(
        label="Only of those that nobody took charge of",
        required=False,
        help_text="Not as an alert fires: later, once it has burned for as long as its rule says and nobody has it.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()

    def clean_zone(self) -> str:
        zone = str(self.cleaned_data["zone"]).strip()
        if zone not in zoneinfo.available_timezones():
            raise forms.ValidationError("There is no such time zone.")
        return zone


# How a threshold is typed: (what stands behind the field, how many of the metric's units one of it is).
_TYPED: Final[dict[Unit, tuple[str, float]]] = {
    Unit.PERCENT: ("%", 1.0),
    Unit.MILLISECONDS: ("ms", 1.0),
    Unit.BYTES: ("MB", 1e6),
    Unit.SECONDS: ("s", 1.0),
    Unit.PER_SECOND: ("/s", 1.0),
}


class RuleForm(Styled, forms.Form):
    """A rule's limits, times and words. Thresholds are typed in what people say: bytes as MB."""

    enabled = forms.BooleanField(label="On", required=False)
    severity = forms.ChoiceField(choices=Severity.choices)
    threshold = forms.FloatField()
    clear_threshold = forms.FloatField()
    for_seconds = LengthField(label="For at least", min_value=0, max_value=86_400)
    keep_seconds = LengthField(label="Well again for", min_value=0, max_value=86_400)
    window_seconds = LengthField(label="Taken over", min_value=0, max_value=86_400)
    minimum_events = forms.IntegerField(label="At least so many requests", min_value=0, max_value=10_000_000)
    minimum_bad = forms.IntegerField(label="At least so many failures", min_value=0, max_value=10_000_000)
    no_data = forms.ChoiceField(label="Without a value", choices=NoData.choices)
    no_data_seconds = LengthField(label="… for at least", min_value=30, max_value=604_800)
    repeat_seconds = LengthField(label="Told again every", min_value=0, max_value=604_800)
    escalate_seconds = LengthField(label="Escalated after", min_value=0, max_value=604_800)
    first_thing = forms.CharField(label="First thing to do", required=False, max_length=300)
    runbook_url = forms.URLField(label="Runbook", required=False, max_length=500, assume_scheme="https")

    def __init__(self, *args: Any, rule: AlertRule, **kwargs: Any) -> None:
        self._unit, self._scale = _TYPED.get(metric_of(rule.metric).unit, ("", 1.0))
        initial = {name: getattr(rule, name) for name in self.base_fields}
        for name in ("threshold", "clear_threshold"):
            initial[name] = _plain(initial[name] / self._scale)
        super().__init__(*args, **{**kwargs, "initial": initial})
        way, back = ("under", "over") if rule.below else ("over", "under")
        behind = f" ({self._unit})" if self._unit else ""
        self.fields["threshold"].label = f"Fires {way}{behind}"
        self.fields["clear_threshold"].label = f"Well again at or {back}{behind}"
        self.fields["window_seconds"].help_text = "0: each value by itself."
        self.fields["repeat_seconds"].help_text = "0: it is told once."
        self.fields["escalate_seconds"].help_text = "0: never."
        for name in ("threshold", "clear_threshold"):
            self.fields[name].widget.attrs["step"] = "any"
        self._below = rule.below
        self.dress()

    def clean(self) -> dict[str, Any]:
        typed: dict[str, Any] = super().clean() or {}
        fires, clears = typed.get("threshold"), typed.get("clear_threshold")
        if fires is not None and clears is not None and (clears < fires if self._below else clears > fires):
            self.add_error("clear_threshold", "It must lie on the good side of the limit.")
        return typed

    def values(self) -> dict[str, Any]:
        """What the service takes: thresholds in the metric's unit."""
        found = dict(self.cleaned_data)
        for name in ("threshold", "clear_threshold"):
            found[name] = found[name] * self._scale
        return found


def _plain(value: float) -> int | float:
    return int(value) if value == int(value) else value


class TargetForm(Styled, forms.Form):
    """What is watched of an application, a line a thing. The monitor's address is typed, kept and never shown."""

    enabled = forms.BooleanField(label="Watch it", required=False)
    monitor_url = forms.CharField(
        label="The monitor’s own address",
        required=False,
        max_length=1000,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="postgresql://… of a role with pg_monitor on the same database. Empty: as it is stored.",
    )
    forget_monitor = forms.BooleanField(label="Forget the stored address, use the application’s own", required=False)
    replicas = forms.CharField(
        label="Replicas that are expected",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="The application_name or slot of each, one a line. None: replication is not watched.",
    )
    volumes = forms.CharField(
        label="Volumes",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="name = /path, or name = command:NAME of the operator’s file; data, wal, archive and backup apart.",
    )
    access_log = forms.CharField(label="Access log", required=False, max_length=4096, help_text="Its absolute path.")
    access_log_format = forms.ChoiceField(
        label="Its format",
        required=False,
        choices=[("combined", "combined"), ("common", "common"), ("json", "JSON, a line a request")],
    )
    prometheus_url = forms.CharField(label="Prometheus endpoint", required=False, max_length=500)
    prometheus_requests = forms.CharField(
        label="Its counter of requests", required=False, max_length=200, help_text="http_requests_total"
    )
    prometheus_status = forms.CharField(label="The label with the status", required=False, max_length=100)
    application_log = forms.CharField(
        label="Application’s log", required=False, max_length=4096, help_text="ERROR, WARNING and CRITICAL are counted."
    )
    pool_process = forms.CharField(label="Pool: process", required=False, max_length=100)
    pool_path = forms.CharField(label="Pool: path", required=False, max_length=500, help_text="/api/db-status")
    pool_used = forms.CharField(label="Pool: field in use", required=False, max_length=200)
    pool_size = forms.CharField(label="Pool: field of its size", required=False, max_length=200)
    frozen_copy = forms.CharField(
        label="Frozen SQLite copy", required=False, max_length=4096, help_text="Counts are compared daily with it."
    )

    def __init__(self, *args: Any, target: Target, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "initial": _typed(target)})
        self.dress()

    def clean_replicas(self) -> list[str]:
        return list(dict.fromkeys(_lines(self.cleaned_data["replicas"])))

    def clean_volumes(self) -> list[dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for line in _lines(self.cleaned_data["volumes"]):
            name, _, place = (part.strip() for part in line.partition("="))
            if not name or not place:
                raise forms.ValidationError(f"“{line[:60]}” is not of the form name = /path.")
            if name in found:
                raise forms.ValidationError(f"The volume {name[:60]} stands there twice.")
            command = place.removeprefix("command:").strip() if place.startswith("command:") else ""
            if not command and not place.startswith("/"):
                raise forms.ValidationError(f"The path of {name[:60]} must be absolute.")
            found[name] = {"name": name, "command": command} if command else {"name": name, "path": place}
        return list(found.values())

    def clean_access_log(self) -> str:
        return _absolute(self.cleaned_data["access_log"])

    def clean_application_log(self) -> str:
        return _absolute(self.cleaned_data["application_log"])

    def clean_frozen_copy(self) -> str:
        return _absolute(self.cleaned_data["frozen_copy"])

    def clean_monitor_url(self) -> str:
        url = str(self.cleaned_data["monitor_url"]).strip()
        if url:
            try:
                parts = urlsplit(url)
                usable = parts.scheme in ("postgresql", "postgres") and bool(parts.hostname and parts.username)
            except ValueError:
                usable = False
            if not usable:
                raise forms.ValidationError("It must read postgresql://role:password@host:port/database.")
        return url

    def clean_prometheus_url(self) -> str:
        url = str(self.cleaned_data["prometheus_url"]).strip()
        if url and not url.startswith("http://"):
            raise forms.ValidationError("It must begin with http://.")
        if "@" in url.partition("//")[2].partition("/")[0]:
            # The page shows the address to every member.
            raise forms.ValidationError("It must have no name or password in it.")
        return url

    def values(self) -> dict[str, Any]:
        """What the service takes."""
        typed = self.cleaned_data
        found: dict[str, Any] = {
            "enabled": typed["enabled"],
            "replicas": typed["replicas"],
            "volumes": typed["volumes"],
            "access_log": _all({"path": typed["access_log"], "format": typed["access_log_format"] or "combined"}),
            "prometheus": _all(
                {"url": typed["prometheus_url"], "requests": typed["prometheus_requests"] or "http_requests_total",
                 "status_label": typed["prometheus_status"] or "status"}
            ),
            "application_log": _all({"path": typed["application_log"]}),
            "application_pool": _all(
                {"process": typed["pool_process"], "path": typed["pool_path"], "used": typed["pool_used"],
                 "size": typed["pool_size"]}
            ),
            "frozen_copy": typed["frozen_copy"],
        }  # fmt: skip
        if typed["monitor_url"] or typed["forget_monitor"]:
            found["monitor_url"] = typed["monitor_url"]
        return found


def _all(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields where all are there; else nothing: half a description measures nothing."""
    return dict(fields) if all(fields.values()) else {}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _absolute(text: str) -> str:
    path = text.strip()
    if path and (not path.startswith("/") or "\0" in path):
        raise forms.ValidationError("Give its absolute path.")
    return path


def _typed(target: Target) -> dict[str, Any]:
    volumes = [f"{one['name']} = {one.get('path') or 'command:' + one.get('command', '')}" for one in target.volumes]
    pool = target.application_pool
    return {
        "enabled": target.enabled,
        "replicas": "\n".join(target.replicas),
        "volumes": "\n".join(volumes),
        "access_log": target.access_log.get("path", ""),
        "access_log_format": target.access_log.get("format", "combined"),
        "prometheus_url": target.prometheus.get("url", ""),
        "prometheus_requests": target.prometheus.get("requests", ""),
        "prometheus_status": target.prometheus.get("status_label", ""),
        "application_log": target.application_log.get("path", ""),
        **{f"pool_{name}": pool.get(name, "") for name in ("process", "path", "used", "size")},
        "frozen_copy": target.frozen_copy,
    }
