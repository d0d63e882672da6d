"""The pages' addresses."""

from __future__ import annotations

from django.urls import path

from migrations_app.views import (
    actions,
    applications,
    certificate,
    checklist,
    evidence,
    mails,
    plan,
    rollback,
    run,
    runs,
    second_factor,
    session,
    sign,
    trail,
    verification,
)

urlpatterns = [
    path("", runs.show, name="runs"),
    path("sign-in/", session.SignIn.as_view(), name="login"),
    path("sign-in/code/", session.second_step, name="login_code"),
    path("settings/second-factor/", second_factor.show, name="second_factor"),
    path("sign-out/", session.SignOut.as_view(), name="logout"),
    path("theme/", session.switch_theme, name="theme"),
    path("runs/new/", runs.new, name="run_new"),
    path("runs/<int:number>/", run.show, name="run"),
    path("runs/<int:number>/live/", run.live, name="run_live"),
    path("runs/<int:number>/do/<slug:action>/", actions.act, name="run_action"),
    path("runs/<int:number>/plan/", plan.of_run, name="run_plan"),
    path("runs/<int:number>/checklist/", checklist.show, name="run_checklist"),
    path("runs/<int:number>/checklist/<slug:code>/", checklist.record, name="run_result"),
    path("runs/<int:number>/sign/<slug:code>/", sign.show, name="run_sign"),
    path("runs/<int:number>/roll-back/", rollback.show, name="run_rollback"),
    path("runs/<int:number>/verification/", verification.show, name="run_verification"),
    path("runs/<int:number>/evidence/", evidence.show, name="run_evidence"),
    path("runs/<int:number>/audit/", trail.of_run, name="run_audit"),
    path("runs/<int:number>/certificate/", certificate.show, name="run_certificate"),
    path("settings/mails/", mails.show, name="mail_settings"),
    path("settings/mails/<int:number>/again/", mails.again, name="mail_again"),
    path("plans/<int:number>/", plan.show, name="plan"),
    path("plans/<int:number>/choose/", plan.choose, name="plan_choose"),
    path("applications/", applications.show_all, name="applications"),
    path("applications/<slug:name>/", applications.show, name="application"),
    path("applications/<slug:name>/plan/", plan.new, name="plan_new"),
    path("audit/", trail.show, name="audit"),
    path("audit/verify/", trail.verify, name="audit_verify"),
    path("audit/export/", trail.export, name="audit_export"),
]
