"""The sample application with one fault, for testing whoever moves it: `uvicorn --app-dir demo/faults faults:app`.

YUKYU_FAULT names the fault (each is a module of that name here); empty or unset means none. YUKYU_FAULT_ON=postgresql
lets it show only while the configuration says PostgreSQL, so that the application is well before the switch.
"""

import os
import sys
from pathlib import Path

from fault_kinds import FAULTS, Application

HERE = Path(__file__).resolve().parent


def is_due() -> bool:
    """Whether the fault shows with the present configuration."""
    from settings import get_settings

    wanted = os.environ.get("YUKYU_FAULT_ON", "always")
    if wanted not in ("always", "sqlite", "postgresql"):
        raise SystemExit("faults: YUKYU_FAULT_ON is always, sqlite or postgresql")
    return wanted in ("always", get_settings().database_type)


def build() -> Application:
    """The application, spoiled or not."""
    sys.path.insert(0, str(HERE.parent / "yukyu"))
    name = os.environ.get("YUKYU_FAULT", "")
    if name and name not in FAULTS:
        raise SystemExit(f"faults: YUKYU_FAULT is one of {', '.join(FAULTS)}")
    if name and is_due():
        return FAULTS[name]()
    from main import app

    return app


app = build()
