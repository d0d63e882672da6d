"""The sample application as its users see it: over HTTP."""

from __future__ import annotations

import csv
import io
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from demo.stage.errors import StageError
from demo.stage.samples import Installation

TIMEOUT_SECONDS = 15
ROWS_OF_A_REQUEST = 3  # one request, its one day, and the balance of the account that it is taken off


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Application:
    """One installation's pages and API."""

    def __init__(self, installation: Installation) -> None:
        self.name = installation.name
        self._address = installation.address

    def get(self, path: str) -> Answer:
        return self._ask(urllib.request.Request(f"{self._address}{path}"))

    def database(self) -> str:
        """Its own word about the database that it uses; '' when it doesn't answer."""
        try:
            answer = self.get("/api/health")
        except OSError:
            return ""
        return str(answer.json.get("database", "")) if answer.status == 200 else ""

    def count(self, path: str) -> int:
        """How many rows an endpoint gives."""
        return len(self.get(path).json)

    def counts(self) -> dict[str, int]:
        """Rows by table, as far as its API shows them."""
        paths = {"employees": "employees", "genzai": "genzai", "ukeoi": "ukeoi", "staff": "staff"}
        paths["leave_requests"] = "leave-requests"
        return {table: self.count(f"/api/{path}") for table, path in paths.items()}

    def csv_lines(self) -> int:
        """Rows of the download, its header left out."""
        text = self.get("/export.csv").body.decode("utf-8-sig")
        return sum(1 for _ in csv.reader(io.StringIO(text))) - 1

    def file_leave(self, how_many: int, reason: str) -> list[int]:
        """Ask for that many days of leave, each for another person; the ids. Raises StageError walkthrough.leave."""
        filed: list[int] = []
        for account in self.get("/api/employees").json:
            if len(filed) == how_many:
                return filed
            if not account["is_active"] or float(account["balance"]) < 1:
                continue
            day = monday_of(int(account["year"])).isoformat()
            answer = self._post({"employee_id": account["id"], "start_date": day, "end_date": day, "reason": reason})
            if answer.status != 201:
                raise StageError(
                    "walkthrough.leave", f"{self.name} answered {answer.status}.", answer.body.decode()[:300]
                )
            filed.append(int(answer.json["id"]))
        raise StageError("walkthrough.leave", f"{self.name} has no account with days left.", "Begin anew.")

    def has_request(self, number: int) -> bool:
        return any(request["id"] == number for request in self.get("/api/leave-requests").json)

    def _post(self, document: dict[str, Any]) -> Answer:
        request = urllib.request.Request(
            f"{self._address}/api/leave-requests", data=json.dumps(document).encode(), method="POST"
        )
        request.add_header("Content-Type", "application/json")
        return self._ask(request)

    def _ask(self, request: urllib.request.Request) -> Answer:
        begun = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return Answer(answer.status, answer.read(), time.monotonic() - begun)
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, refused.read(), time.monotonic() - begun)


def monday_of(year: int) -> date:
    """A day in that year on which people work."""
    first = date(year, 11, 1)
    return first + timedelta(days=(7 - first.weekday()) % 7)
