"""Django's own way with one table of a sample: `python -m bench.loaddata SAMPLE.db TABLE WORK`.

inspectdb writes the model, dumpdata the fixture, loaddata takes it to PostgreSQL; the seconds of the last two count.
"""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

from bench.common import URL_VARIABLE
from bench.phases import Phases
from migrations_app.engine.target.target_url import parse_target_url

APP = "sampleapp"


def main() -> int:
    sample, table, work = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    package = work / APP
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "models.py").write_text("")
    sys.path.insert(0, str(work))
    settings.configure(
        INSTALLED_APPS=[APP], DATABASES=_databases(sample), DEFAULT_AUTO_FIELD="django.db.models.BigAutoField"
    )
    django.setup()
    _make_model(package, table)
    call_command("migrate", database="target", run_syncdb=True, verbosity=0)
    phases = Phases(0)
    fixture = work / "fixture.json"
    begun = time.monotonic()
    call_command("dumpdata", APP, database="default", output=str(fixture), verbosity=0)
    phases.facts["dump_seconds"] = time.monotonic() - begun
    begun = time.monotonic()
    call_command("loaddata", str(fixture), database="target", verbosity=0)
    phases.facts["load_seconds"] = time.monotonic() - begun
    phases.tell()
    return 0


def _databases(sample: Path) -> dict[str, dict[str, Any]]:
    url = parse_target_url(os.environ[URL_VARIABLE])
    return {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(sample)},
        "target": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.database,
            "HOST": url.host,
            "PORT": url.port,
            "USER": url.user,
            "PASSWORD": url.password,
        },
    }


def _make_model(package: Path, table: str) -> None:
    """inspectdb's model, managed by Django so that it makes the table on the other side."""
    out = io.StringIO()
    call_command("inspectdb", table, stdout=out)
    source = out.getvalue().replace("managed = False", "managed = True")
    (package / "models.py").write_text(source)
    code: dict[str, Any] = {"__name__": f"{APP}.models"}
    exec(compile(source, str(package / "models.py"), "exec"), code)  # the app is loaded: its models are added to it


if __name__ == "__main__":
    sys.exit(main())
