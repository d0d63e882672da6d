"""What people type. A form checks shape; whether something may be done is for the services to say."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.db.models import QuerySet
from django.utils import timezone

from controlplane.registry.models import Application
from migrations_app.models import MigrationPlan
from migrations_app.models.states import ItemState, PlanState, RunKind

OUTCOMES = (
    (ItemState.PASSED, "Passed: the criterion holds"),
    (ItemState.FAILED, "Failed: it doesn't"),
    (ItemState.INCONCLUSIVE, "Inconclusive: I can't tell"),
    (ItemState.NOT_APPLICABLE, "Not applicable here"),
)


class Styled:
    """Gives every field our look, and ties its hint and its errors to it for screen readers."""

    fields: dict[str, forms.Field]

    def dress(self) -> None:
        for name, field in self.fields.items():
            widget = field.widget
            if not isinstance(widget, forms.RadioSelect | forms.HiddenInput | forms.CheckboxInput):
                widget.attrs.setdefault("class", "input")
            if field.help_text:
                widget.attrs.setdefault("aria-describedby", f"id_{name}-help")


class SignInForm(Styled, AuthenticationForm):
    error_messages = {
        "invalid_login": "That name and password don't match. After five failures, wait a quarter of an hour.",
        "inactive": "This account is switched off. Whoever runs this installation can switch it on.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


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
        label="Watched after the switch, minutes", min_value=0, max_value=43_200, initial=60
    )
    endpoint_limit_ms = forms.IntegerField(
        label="Limit of an endpoint's answer, ms", min_value=1, max_value=60_000, initial=500
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
        self.fields["window_end"].help_text = f"In {zone}."

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
    """A run of a plan: rehearsal or production."""

    plan = PlanChoice(queryset=MigrationPlan.objects.none(), empty_label=None, label="Application and plan")
    kind = forms.ChoiceField(choices=RunKind.choices, widget=forms.RadioSelect, initial=RunKind.REHEARSAL)

    def __init__(self, *args: Any, applications: QuerySet[Application], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ready = MigrationPlan.objects.filter(
            application__in=applications, state__in=[PlanState.DRAFT, PlanState.SUBMITTED]
        )
        plans = self.fields["plan"]
        assert isinstance(plans, PlanChoice)
        plans.queryset = ready.select_related("application").order_by("application__name", "-revision")
        self.dress()


class ReasonForm(Styled, forms.Form):
    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept in the audit trail.",
        error_messages={"required": "Give a reason: it stays beside your name."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class PasswordMixin(forms.Form):
    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Your password is needed again for this."},
    )


class SignForm(PasswordMixin, ReasonForm):
    """A signature; the digests are those that the page showed."""

    role = forms.CharField(max_length=8, widget=forms.HiddenInput)
    plan_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    evidence_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    typed_name = forms.CharField(
        label="Application's name",
        required=False,
        max_length=63,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    field_order = ["reason", "typed_name", "password", "role", "plan_digest", "evidence_digest"]


class RefuseForm(ReasonForm):
    role = forms.CharField(max_length=8, widget=forms.HiddenInput)


class RollbackForm(PasswordMixin, ReasonForm):
    typed_name = forms.CharField(
        label="Application's name",
        max_length=63,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
        error_messages={"required": "Type the application's name to confirm."},
    )
    rows_typed = forms.CharField(
        label="Rows that leave",
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "numeric"}),
    )
    field_order = ["reason", "rows_typed", "typed_name", "password"]

    def clean_rows_typed(self) -> int | None:
        text = self.cleaned_data["rows_typed"].replace(",", "").replace(" ", "").strip()
        if not text:
            return None
        if not text.isascii() or not text.isdigit():
            raise forms.ValidationError("Type the number of rows, in digits.")
        return int(text)


class AgreeForm(PasswordMixin, Styled):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class ResultForm(Styled, forms.Form):
    """What a person saw when testing an item."""

    outcome = forms.ChoiceField(choices=OUTCOMES, widget=forms.RadioSelect, label="What did you see?")
    note = forms.CharField(
        label="Note",
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What you did and what you saw: this is the evidence.",
        error_messages={"required": "Say what you saw: a result without a note proves nothing."},
    )
    link = forms.URLField(
        label="Link to evidence",
        required=False,
        assume_scheme="https",
        max_length=200,
        help_text="A screenshot, a ticket, a recording; optional.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class AuditFilterForm(Styled, forms.Form):
    """Narrows the trail; every field is optional."""

    application = forms.ChoiceField(required=False)
    family = forms.ChoiceField(required=False, label="Kind of action")
    actor = forms.CharField(required=False, max_length=150, label="Person")

    def __init__(self, *args: Any, applications: list[str], families: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = self.fields["application"]
        kinds = self.fields["family"]
        assert isinstance(names, forms.ChoiceField) and isinstance(kinds, forms.ChoiceField)
        names.choices = [("", "All of mine"), *((name, name) for name in applications)]
        kinds.choices = [("", "Every action"), *((name, name.replace("_", " ")) for name in families)]
        self.dress()
