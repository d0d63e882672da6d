"""What QA and ops record, and how a team changes its checklist."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from migrations_app.forms.common import ReasonForm, Styled
from migrations_app.models.checklist import Level, Prover
from migrations_app.models.states import ItemState, Phase
from migrations_app.services.checklist_file import COMMANDS, OWNERS
from migrations_app.services.checklist_files import ENDINGS, MAX_BYTES, MAX_FILES

OUTCOMES = (
    (ItemState.PASSED, "Passed: the criterion holds"),
    (ItemState.FAILED, "Failed: it doesn't"),
    (ItemState.INCONCLUSIVE, "Inconclusive: I can't tell"),
    (ItemState.NOT_APPLICABLE, "Not applicable here: say why below"),
)
PEOPLE = [(Prover.QA, "QA"), (Prover.OPS, "Ops or a team lead")]
PHASES = [(phase, phase.label) for phase in Phase if phase not in (Phase.GO, Phase.ROLLBACK)]


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several files, each checked by the service; [] where none was chosen."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("widget", FilesInput(attrs={"accept": ",".join(ENDINGS)}))
        super().__init__(*args, **kwargs)

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[bytes]]:
        return [given for given in data or [] if given]


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
    files = FilesField(
        label="Files",
        required=False,
        help_text=f"Optional. Pictures, PDF, recordings, text; {MAX_FILES} at most, {MAX_BYTES // 1_000_000} MB each.",
    )
    link = forms.URLField(
        label="Link to evidence",
        required=False,
        assume_scheme="https",
        max_length=200,
        help_text="A ticket, a recording; optional.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class ItemReasonForm(ReasonForm):
    """Why an item is opened again, or waived: one of two small forms of a page, so its ids are its own."""


class TemplateItemForm(Styled, forms.Form):
    """An item of a team's checklist. What the system proves keeps its proof: only its words can be changed."""

    code = forms.RegexField(
        r"^[A-Z][A-Z0-9]{0,2}[0-9]{2,3}$",
        label="Code",
        max_length=6,
        help_text="A letter and a number, such as Q01. It stays.",
        error_messages={"invalid": "One to three capital letters or digits, then two or three digits: Q01."},
    )
    phase = forms.ChoiceField(choices=PHASES, label="Phase", initial=Phase.VERIFICATION)
    section = forms.CharField(max_length=80, label="Section", initial="Ours")
    title = forms.CharField(max_length=200, label="What must hold")
    criterion = forms.CharField(
        label="Passes when",
        max_length=1000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="So exact that two people would answer alike.",
    )
    level = forms.ChoiceField(choices=Level.choices, label="Level", help_text="A gate waits for what is mandatory.")
    prover = forms.ChoiceField(choices=PEOPLE, label="Proved by", initial=Prover.QA)
    owner = forms.ChoiceField(choices=list(OWNERS.items()), label="Owner", initial="qa")
    minutes = forms.IntegerField(label="Planned, minutes", min_value=1, max_value=1440, required=False)
    command = forms.ChoiceField(
        choices=[("", "No command: people prove it"), *((purpose, purpose) for purpose in COMMANDS)],
        label="Proved by the command",
        required=False,
        help_text="What the application names for this purpose. Where it names none, people prove the item.",
    )
    reason = forms.CharField(
        label="Reason",
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Stands beside the change, for those who sign.",
        error_messages={"required": "Say why: those who sign later must know."},
    )
    number = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, existing: bool, system: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if existing:
            for name in ("code", "phase", "command"):
                del self.fields[name]
        if system:
            del self.fields["prover"]
        self.dress()


class TemplateReasonForm(ReasonForm):
    """Copying, giving up or removing: a reason, and the version that was shown."""

    number = forms.IntegerField(widget=forms.HiddenInput)
