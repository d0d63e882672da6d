"""What the demo shows when it is up: where to go, as whom, and what waits for whom."""

from __future__ import annotations

from demo.stage.people import PEOPLE
from demo.stage.stage import Stage


def show(stage: Stage) -> None:
    """Print it."""
    from migrations_app.services.needs import needs_me

    say = stage.console.plain
    say()
    say(f"Causeway      {stage.address}/")
    for installation in stage.installations:
        say(f"{installation.name:<13} {installation.address}/")
    if stage.mails is not None:
        say(f"Mails         {stage.mails.address}/   every mail that Causeway sends here; none leaves this machine")
    say()
    say("Sign in as    password             role")
    for person in PEOPLE:
        say(f"{person.name:<13} {stage.passwords[person.name]:<20} {person.title}: {person.does}")
    say()
    needs = [(person, need) for person in PEOPLE if person.role for need in needs_me(stage.people[person.name])]
    say("What waits for whom" if needs else "Nothing waits for anybody now.")
    for person, need in needs:
        say(f"  {person.name:<11} {need.run}: {need.why}")
    say()
    say(f"Logs {stage.home.path / 'logs'}; mails {stage.home.path / 'mail'}; evidence {stage.home.path / 'artifacts'}")
    say(f"For an auditor: the public key of the trail and of evidence bundles, {stage.home.public_key}")
    say("Provoke an alert: .venv/bin/python -m demo.provoke pool   (or slow, errors; docs/how-to/provoke-an-alert.md)")
    say("Ctrl-C ends everything; the next `make demo` goes on from here; `make demo ARGS=--fresh` begins anew.")
    say()
