"""Every action that the trail knows: dotted, object first, past tense.

An unregistered action is refused, so that a misspelt one can't hide from a filter or a count. An app adds its own
actions here, in this file: one list is what an auditor can read.
"""

from typing import Final

from controlplane.audit.errors import UnknownAction

ACTIONS: Final[dict[str, str]] = {
    "run.created": "A run was drafted",
    "run.submitted": "A run was submitted for approval",
    "run.approved": "A run has the approvals that it needs",
    "run.started": "A run began to execute",
    "run.held": "A run stopped and waits for a person",
    "run.resumed": "A held run goes on",
    "run.cancelled": "A run was given up before it changed anything",
    "run.failed": "A person declared a run failed, before the switch",
    "run.completed": "A run was signed off",
    "run.rolled_back": "A run was rolled back",
    "run.switched": "The application was pointed at another database",
    "run.lease_taken": "A run took the lease on its target",
    "run.lease_released": "A run gave the lease on its target back",
    "step.started": "A worker began a step",
    "step.succeeded": "A step reached its result",
    "step.failed": "A step failed in a way that an operator can act on",
    "step.errored": "A step stopped on a fault of the product",
    "step.in_doubt": "A step was cut off and its effect is unknown",
    "step.retried": "A person asked for a step to run again",
    "step.reclaimed": "A lapsed step was taken over by another worker",
    "step.skipped": "A step was left out",
    "step.cancelled": "A step was stopped on request",
    "gate.opened": "A gate waits for signatures",
    "gate.signed": "A person signed at a gate",
    "gate.refused": "A person refused at a gate",
    "gate.passed": "A gate has all its signatures",
    "gate.lapsed": "A signature lost its force before the gate opened",
    "gate.withdrawn": "A person took a signature back",
    "rollback.requested": "A rollback was asked for",
    "rollback.agreed": "A second person agreed to a rollback",
    "rollback.refused": "A rollback was refused",
    "rollback.glass_broken": "One person rolled back alone what two should decide",
    "rollback.countersigned": "A second person countersigned a rollback that one had decided",
    "rollback.countersign_overdue": "A rollback decided by one person was not countersigned in time",
    "rollback.started": "A rollback began",
    "rollback.held": "A rollback stopped and waits for a person",
    "rollback.finished": "A rollback ended",
    "plan.created": "A plan, or a revision of one, was drafted",
    "plan.made": "A worker made a plan from the source",
    "plan.submitted": "A plan was submitted and can't change any more",
    "plan.choice_made": "A finding of a plan was decided",
    "plan.choice_dropped": "A choice that no longer fits was dropped from a plan",
    "plan.withdrawn": "A submitted plan was withdrawn",
    "result.recorded": "A person recorded a result",
    "item.waived": "A checklist item was waived",
    "item.reopened": "A checklist item was opened again, or its waiver taken back",
    "item.assigned": "A checklist item was given to a person",
    "checklist.copied": "An application was given its own copy of the checklist",
    "checklist.changed": "An application's checklist was changed",
    "checklist.retired": "An application's checklist was given up for the one that ships",
    "artifact.stored": "A file of evidence was stored",
    "artifact.downloaded": "A file of evidence was downloaded",
    "application.registered": "An application was registered",
    "application.changed": "An application's description was changed",
    "application.retired": "An application was retired",
    "membership.granted": "A person was given a role on an application",
    "membership.revoked": "A person lost a role on an application",
    "person.added": "An account was added",
    "person.changed": "An account or a group of accounts was changed",
    "person.changed_by_another": "Somebody set a person's password, removed the second factor or changed the address",
    "person.password_changed": "A person changed the own password",
    "person.signed_in": "A person signed in",
    "person.signed_out": "A person signed out",
    "person.sign_in_failed": "A sign-in failed",
    "person.locked_out": "Sign-ins were locked after repeated failures",
    "person.confirmed": "A person gave the password again for a dangerous action",
    "person.second_factor_enrolled": "A person added a second factor to the own account",
    "person.second_factor_removed": "A person's second factor was removed",
    "person.recovery_codes_made": "A person got new recovery codes",
    "person.recovery_code_used": "A recovery code was used in place of the second factor",
    "permission.refused": "An attempt was refused for want of a right",
    "input.refused": "Bad input was refused before anything was written",
    "field_keys.rotated": "Stored secrets were encrypted anew",
    "audit.exported": "The trail was exported",
    "audit.verified": "The trail was verified",
    "command.run": "A command was run on the command line",
    "certificate.issued": "A run's certificate was issued",
    "certificate.bundled": "A run's evidence bundle was made",
    "mail.settings_changed": "A person chose which mails to get",
    "mail.sent_again": "A mail that had failed was put back in the queue",
    "target.watched": "An application came under watch",
    "target.changed": "What is watched of an application was changed",
    "verification.recorded": "The daily verification was recorded",
    "alert.acknowledged": "A person took charge of an alert",
    "alert.given_back": "A person gave an alert back",
    "alert.fired": "An alert began",
    "alert.resolved": "An alert ended",
    "silence.opened": "Mails of alerts were silenced",
    "silence.ended": "A silence was ended before its time",
    "maintenance.asked": "A person asked for VACUUM ANALYZE of an application's database",
    "maintenance.ended": "VACUUM ANALYZE that a person asked for ended",
    "rule.changed": "A rule of an application's alerts was changed",
    "recipient.added": "An address was added to those who are told of alerts",
    "recipient.changed": "What an address is told of was changed",
    "recipient.removed": "An address is no longer told of alerts",
    "recipient.confirmed": "Somebody confirmed the own address",
    "recipient.unsubscribed": "Somebody asked not to be told any more",
}


def require_known(action: str) -> str:
    """The action itself; raises UnknownAction where it is not registered."""
    if action not in ACTIONS:
        raise UnknownAction(
            f"The audit trail knows no action {action!r}.",
            hint="Add it to controlplane/audit/actions.py, dotted and in the past tense.",
        )
    return action


def families() -> list[str]:
    """The first words of the actions (`run`, `step`, …), in the order of the list: what filters offer."""
    return list(dict.fromkeys(action.partition(".")[0] for action in ACTIONS))
