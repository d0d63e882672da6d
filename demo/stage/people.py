"""The people of the demo: who signs in, and with which role on both applications."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """role '' for the superuser, who administers and signs nothing."""

    name: str
    role: str
    title: str
    does: str


PEOPLE: tuple[Person, ...] = (
    Person("ana", "ops", "Ops", "wrote the plans; starts runs, signs go and sign-off, can roll back"),
    Person("ben", "lead", "Team lead", "approves plans, signs go and sign-off, agrees to a rollback"),
    Person("mei", "lead", "Team lead", "the second lead"),
    Person("chika", "qa", "QA", "records results, accepts, signs off"),
    Person("dana", "viewer", "Viewer", "sees everything, touches nothing"),
    Person("admin", "", "Superuser", "the admin site; signs nothing"),
)
NAMES = tuple(person.name for person in PEOPLE)
