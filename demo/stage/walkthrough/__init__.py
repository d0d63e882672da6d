"""The whole life of several runs, unattended, with each state and each verification held against what can be seen."""

from __future__ import annotations

import time

from demo.stage.stage import Stage


def walk(stage: Stage) -> None:
    """All acts. Raises StageError at the first thing that isn't as it must be."""
    from demo.stage.walkthrough import back, crossing, online, rehearsals, script, trail
    from demo.stage.walkthrough.cast import Cast
    from demo.stage.walkthrough.proof import Proofs

    begun = time.monotonic()
    proofs = Proofs(stage.console)
    _title(stage, "1. Rehearsals: production untouched")
    rehearsals.play(stage, proofs)
    cast = Cast.signed_in(stage.address, stage.passwords, stage.console)
    _title(stage, "2. The crossing of yukyu, from approval to sign-off")
    crossing.play(stage, cast, proofs, "yukyu")
    _title(stage, "3. yukyu-west crosses, and is rolled back with rows written since")
    back.play(stage, cast, proofs, "yukyu-west")
    _title(stage, "4. yukyu-west crosses again, Causeway goes down, rollback.sh takes it back")
    script.play(stage, cast, proofs, "yukyu-west")
    _title(stage, "5. yukyu-west crosses while its users work, comes back with all they wrote, and crosses again")
    online.play(stage, cast, proofs, "yukyu-west")
    _title(stage, "6. The trail")
    trail.play(stage, proofs)
    stage.console.say(f"{proofs.held} proofs held in {time.monotonic() - begun:.0f} s")


def _title(stage: Stage, text: str) -> None:
    stage.console.plain()
    stage.console.plain(f"— {text}")
