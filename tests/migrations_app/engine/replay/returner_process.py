"""A process that brings changes home for ever, and is killed for it. Arguments: FILE PLAN FORMS IDENTITY URL."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.conversions.inverse import forms_from_document
from migrations_app.engine.plan import plan_from_document
from migrations_app.engine.replay.backward import Returner
from migrations_app.engine.target.target_url import parse_target_url


def main(path: str, plan_file: str, forms_file: str, identity: str, url: str) -> None:
    plan = plan_from_document(json.loads(Path(plan_file).read_text()))
    forms = forms_from_document(json.loads(Path(forms_file).read_text()), plan)
    pair = Pair(Path(path), plan, parse_target_url(url), identity)
    with Returner(pair, forms, busy_timeout_ms=5000) as returner:
        print("ready", flush=True)
        while True:
            returner.flow()


if __name__ == "__main__":
    main(*sys.argv[1:])
