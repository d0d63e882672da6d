"""What people type. A form checks shape; whether something may be done is for the services to say."""

from migrations_app.forms.checklist import OUTCOMES, ResultForm
from migrations_app.forms.common import PasswordMixin, ReasonForm, Styled
from migrations_app.forms.decisions import AgreeForm, RefuseForm, RollbackForm, SignForm, SignInForm
from migrations_app.forms.runs import NewPlanForm, NewRunForm, PlanChoice
from migrations_app.forms.trail import AuditFilterForm

__all__ = [
    "OUTCOMES",
    "AgreeForm",
    "AuditFilterForm",
    "NewPlanForm",
    "NewRunForm",
    "PasswordMixin",
    "PlanChoice",
    "ReasonForm",
    "RefuseForm",
    "ResultForm",
    "RollbackForm",
    "SignForm",
    "SignInForm",
    "Styled",
]
