"""The rows that the demo begins with: people, applications, who has which role. Needs Django set up."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction

from controlplane.audit.trail import record
from controlplane.registry.models import Application, Membership
from demo.stage.crew import HOST_NAME
from demo.stage.people import PEOPLE
from demo.stage.samples import Installation, describe

ACTOR = "cli:demo"
STAFF = ("ops", "lead")  # they look around in the admin site as well


def seed_people(passwords: dict[str, str]) -> dict[str, User]:
    """Everyone's account, made at the first start; one that exists stays as it is."""
    people: dict[str, User] = {}
    users: Any = get_user_model().objects
    for person in PEOPLE:
        user = users.filter(username=person.name).first()
        if user is None:
            make = users.create_user if person.role else users.create_superuser
            fields = {"is_staff": True} if person.role in STAFF else {}
            user = make(person.name, f"{person.name}@example.test", passwords[person.name], **fields)
        people[person.name] = user
    return people


def seed_application(installation: Installation, *, target_url: str, rehearsal_url: str) -> Application:
    """Its row, brought up to date where ports or addresses changed, and everyone's membership."""
    wanted = describe(installation)
    with transaction.atomic():
        application = Application.objects.filter(name=installation.name).first()
        known = application is not None
        if application is None:
            application = Application(name=installation.name, host=HOST_NAME)
        changed = sorted(name for name, value in wanted.items() if getattr(application, name) != value)
        secrets = {"target_url": target_url, "rehearsal_target_url": rehearsal_url}
        for name, url in secrets.items():
            if not known or getattr(application, name).reveal() != url:
                setattr(application, name, url)
                changed.append(name)
        for name in set(changed) & set(wanted):
            setattr(application, name, wanted[name])
        if changed:
            application.save()
            record(
                action="application.changed" if known else "application.registered",
                actor=ACTOR,
                obj=application,
                application=application.name,
                payload={"fields": changed},
            )
    _seed_memberships(application)
    return application


def _seed_memberships(application: Application) -> None:
    for person in PEOPLE:
        if not person.role:
            continue
        user = get_user_model().objects.get(username=person.name)
        with transaction.atomic():
            _, made = Membership.objects.get_or_create(application=application, user=user, role=person.role)
            if made:
                record(
                    action="membership.granted",
                    actor=ACTOR,
                    obj=application,
                    application=application.name,
                    payload={"person": person.name, "role": person.role},
                )
