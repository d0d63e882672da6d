"""What people type. A form checks shape; whether something may be done is for the services to say."""

from migrations_app.forms.checklist import OUTCOMES, ResultForm
from migrations_app.forms.common import ReasonForm, Styled
from migrations_app.forms.decisions import (
    AgreeForm,
    BreakGlassForm,
    CodeForm,
    CountersignForm,
    EndReplicationForm,
    EnrolForm,
    NewPasswordForm,
    OnlyProofForm,
    RefuseForm,
    RollbackForm,
    SignForm,
    SignInForm,
    WithdrawForm,
)
from migrations_app.forms.mails import MailSettingsForm
from migrations_app.forms.proof import Proof, ProofForm
from migrations_app.forms.runs import NewPlanForm, NewRunForm, PlanChoice
from migrations_app.forms.trail import AuditFilterForm

__all__ = [
    "OUTCOMES",
    "AgreeForm",
    "AuditFilterForm",
    "BreakGlassForm",
    "CodeForm",
    "CountersignForm",
    "EndReplicationForm",
    "EnrolForm",
    "MailSettingsForm",
    "NewPasswordForm",
    "NewPlanForm",
    "NewRunForm",
    "OnlyProofForm",
    "PlanChoice",
    "Proof",
    "ProofForm",
    "ReasonForm",
    "RefuseForm",
    "ResultForm",
    "RollbackForm",
    "SignForm",
    "SignInForm",
    "Styled",
    "WithdrawForm",
]
