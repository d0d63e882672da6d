"""Tries every rule on made-up samples, and sends a mail that says so. Exit status: 0 all work, 1 something doesn't."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from controlplane.mail.models import MailState
from controlplane.mail.sending import send_due
from monitoring_app.models import Target
from monitoring_app.services import self_test


class Command(BaseCommand):
    help = "Try whether alerts fire and mails get out. Rules are played on made-up samples; nothing of it stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--application", metavar="NAME", help="only this one")
        parser.add_argument("--no-mail", action="store_true", help="try the rules only")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["application"]
        rows = Target.objects.filter(enabled=True).select_related("application")
        targets = list(rows.filter(application__name=name) if name else rows)
        if not targets:
            raise CommandError(f"{name} is not watched." if name else "Nothing is watched.")
        fine = all([self._try(target, mail=not options["no_mail"]) for target in targets])
        sys.exit(0 if fine else 1)

    def _try(self, target: Target, *, mail: bool) -> bool:
        now = timezone.now()
        key = self_test.key_of_moment(target, now)
        tried = self_test.run_self_test(target, now=now, key=key) if mail else self_test.try_rules(target, now=now)
        self.stdout.write(target.application.name)
        for one in tried:
            shape = "✕" if one.problem else "–" if one.skipped else "●"
            self.stdout.write(f"  {shape} {one.title}: {one.problem or one.skipped or 'fires and ends'}")
        return not any(one.problem for one in tried) and (not mail or self._delivered(key))

    def _delivered(self, key: str) -> bool:
        send_due()
        mails = self_test.mails_of(key)
        for mail in mails:
            said = mail.get_state_display().lower()
            self.stdout.write(f"  mail to {mail.to_name}: {said}{f' ({mail.error})' if mail.error else ''}")
        if not mails:
            self.stdout.write("  ✕ nobody gets mails of this application")
        return bool(mails) and all(mail.state == MailState.SENT for mail in mails)
