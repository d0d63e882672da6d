"""A new plan, a new run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils import timezone

from controlplane.registry.models import Application
from migrations_app.forms.common import Styled
from migrations_app.models import MigrationPlan
from migrations_app.models.plan_settings import NUMBERS, setting_of
from migrations_app.models.states import PlanState, RunKind, Strategy
from migrations_app.services.strategies import why_not_online


def _number(name: str, label: str, help_text: str) -> forms.IntegerField:
    """A setting of a plan by its own name, in its own bounds."""
    default, lowest, highest = NUMBERS[name]
    return forms.IntegerField(
        label=label, required=False, min_value=lowest, max_value=highest, initial=default, help_text=help_text
    )


class NewPlanForm(Styled, forms.Form):
    """A new revision of an application's plan."""

    window_start = forms.DateTimeField(
        label="Window opens",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    window_end = forms.DateTimeField(
        label="Window closes",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    soak_minutes = forms.IntegerField(
        label="Watched after the switch, minutes",
        min_value=0,
        max_value=43_200,
        initial=60,
        help_text="Then gate 4 asks for the sign-off.",
    )
    endpoint_limit_ms = forms.IntegerField(
        label="Limit of an endpoint's answer, ms",
        min_value=1,
        max_value=60_000,
        initial=500,
        help_text="95 of 100 answers must be there by then.",
    )
    baseline_limit_percent = _number(
        "baseline_limit_percent",
        "Limit against SQLite, %",
        "300: at most three times as slow as on SQLite. 0: compared, not judged.",
    )
    parallel_clients = _number("parallel_clients", "Clients at the same time", "Of the load under which it is timed.")
    load_per_second = _number("load_per_second", "Requests a second", "Over all endpoints, on SQLite and PostgreSQL.")
    load_seconds = _number("load_seconds", "Seconds", "How long the load lasts, each time.")
    auto_rollback_minutes = forms.IntegerField(
        label="Goes back by itself, minutes",
        required=False,
        min_value=0,
        max_value=NUMBERS["auto_rollback_seconds"][2] // 60,
        initial=0,
        help_text="If a check fails so soon after the switch, and nothing is lost by it. 0: a person decides.",
    )
    excluded = forms.CharField(
        label="Tables to leave out",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="One a line, as they are called in SQLite. They are named in the plan.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()
        zone = timezone.get_current_timezone_name()
        self.fields["window_start"].help_text = f"In {zone}. The cut-over starts only inside the window."
        self.fields["window_end"].help_text = f"In {zone}. Leave both empty to start at any time."

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> dict[str, int]:
        """The fields' values for a plan's settings."""
        names = [name for name in cls.base_fields if name in NUMBERS]
        shown = {name: setting_of(settings, name) for name in names}
        minutes = -(-setting_of(settings, "auto_rollback_seconds") // 60)
        return {**shown, "soak_minutes": setting_of(settings, "soak_seconds") // 60, "auto_rollback_minutes": minutes}

    def settings(self) -> dict[str, int]:
        """What was typed in, as a plan's settings. What was left empty is not among them."""
        typed = {name: value for name, value in self.cleaned_data.items() if value is not None}
        found = {name: value for name, value in typed.items() if name in NUMBERS}
        found["soak_seconds"] = typed["soak_minutes"] * 60
        if "auto_rollback_minutes" in typed:
            found["auto_rollback_seconds"] = typed["auto_rollback_minutes"] * 60
        return found

    def clean_excluded(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["excluded"].splitlines() if line.strip()]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        start, end = cleaned.get("window_start"), cleaned.get("window_end")
        if bool(start) != bool(end):
            self.add_error("window_end" if start else "window_start", "A window needs both ends.")
        elif start and end and start >= end:
            self.add_error("window_end", "The window must close after it opens.")
        return cleaned


class PlanChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: MigrationPlan) -> str:
        return (
            f"{obj.application.name}, revision {obj.revision} ({obj.get_state_display().lower()}, {obj.short_digest})"
        )


class NewRunForm(Styled, forms.Form):
    """A run of a plan: rehearsal or production, offline or online."""

    plan = PlanChoice(queryset=MigrationPlan.objects.none(), empty_label=None, label="Application and plan")
    kind = forms.ChoiceField(choices=RunKind.choices, widget=forms.RadioSelect, initial=RunKind.REHEARSAL)
    strategy = forms.ChoiceField(
        choices=Strategy.choices,
        widget=forms.RadioSelect,
        initial=Strategy.OFFLINE,
        required=False,
        label="While the data crosses",
    )

    def __init__(self, *args: Any, applications: QuerySet[Application], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ready = MigrationPlan.objects.filter(
            application__in=applications, state__in=[PlanState.DRAFT, PlanState.SUBMITTED]
        )
        plans = self.fields["plan"]
        assert isinstance(plans, PlanChoice)
        plans.queryset = (
            ready.select_related("application").defer("document").order_by("application__name", "-revision")
        )
        self.dress()

    def clean_strategy(self) -> str:
        """Offline where nothing was said: it asks the least of an application."""
        return self.cleaned_data["strategy"] or Strategy.OFFLINE

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        plan = cleaned.get("plan")
        if plan is not None and cleaned.get("strategy") == Strategy.ONLINE:
            problems = why_not_online(plan)
            if problems:
                more = f" {len(problems) - 1} more below." if len(problems) > 1 else ""
                self.add_error("strategy", f"{plan} can't cross online. {problems[0].message}{more}")
        return cleaned
