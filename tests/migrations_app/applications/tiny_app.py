"""A real application of a few lines, with faults to choose from: `tiny_app.py ROLE [PORT]`.

DATABASE_URL comes from the process environment, else from the .env of its folder. The table `items` (id, name) is in
both databases; every 0.1 s it writes a row of its own to `beats` when TINY_WRITES=1, and once that was acknowledged
notes it in acknowledged.log. While there is a file `wait_to_start` in its folder it doesn't start. TINY_FAULT: see the
tests.
"""

import http.server
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

FAULT = os.environ.get("TINY_FAULT", "")
SQLITE = Path(os.environ.get("TINY_SQLITE", "app.db"))
stop = threading.Event()


def database_url() -> str:
    if "DATABASE_URL" in os.environ:
        return os.environ["DATABASE_URL"]
    for line in Path(".env").read_text().splitlines():
        if line.startswith("DATABASE_URL="):
            return line.partition("=")[2]
    return ""


class Database:
    """SQLite or PostgreSQL; a connection that stays open, as pools do."""

    def __init__(self) -> None:
        parts = urlsplit(database_url())
        self.dialect = (
            "postgresql" if parts.scheme.startswith("postgres") and not FAULT.startswith("stays") else "sqlite"
        )
        self.lock = threading.Lock()
        if self.dialect == "sqlite":
            self.connection = sqlite3.connect(SQLITE, check_same_thread=False, isolation_level=None, timeout=5)
            self.connection.execute("PRAGMA journal_mode")
        else:
            import psycopg2

            self.connection = psycopg2.connect(
                host=parts.hostname,
                port=parts.port,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                dbname=parts.path[1:],
                application_name="tiny",
            )
            self.connection.autocommit = True

    def query(self, statement: str) -> list[tuple]:
        if FAULT == "connects_for_each_request":
            self.connection.close()
            self.__init__()
            try:
                return self.run(statement)
            finally:
                self.connection.close()
        return self.run(statement)

    def run(self, statement: str) -> list[tuple]:
        with self.lock:
            cursor = self.connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


class Handler(http.server.BaseHTTPRequestHandler):
    database: Database

    def do_GET(self) -> None:
        if FAULT == "answers_500":
            return self.answer(500, {"detail": "broken"})
        if self.path == "/health":
            said = {"status": "healthy"}
            if FAULT == "stays_and_lies":
                said["database"] = "postgresql"
            elif FAULT != "stays_silently":
                said["database"] = self.database.dialect
            return self.answer(200, said)
        if self.path == "/items":
            rows = self.database.query("SELECT id, name FROM items ORDER BY id")
            return self.answer(200, [{"id": row[0], "name": row[1]} for row in rows])
        if self.path == "/pool":
            return self.answer(200, {"status": "ok", "pool": {"size": 4, "used": 1}})
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/health")
            self.end_headers()
            return None
        if self.path == "/slow":
            for _ in range(100):
                self.wfile.write(b"HTTP/1.0 200 OK\r\n" if _ == 0 else b"X-Drip: 1\r\n")
                time.sleep(0.1)
            return None
        if self.path == "/huge":
            return self.answer(200, {"status": "x" * 200_000})
        return self.answer(404, {})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def note(text: str) -> None:
    with open("events.log", "a") as log:
        log.write(f"{text}\n")


def write_beats(database: Database) -> None:
    number = 0
    while not stop.wait(0.1):
        number += 1
        beat = f"beat {os.getpid()} {number}"
        database.query(f"INSERT INTO beats (name) VALUES ('{beat}')")
        with open("acknowledged.log", "a") as log:
            log.write(f"{beat}\n")


def main() -> None:
    role = sys.argv[1]
    note(f"start {role}")
    while os.path.exists("wait_to_start"):
        time.sleep(0.05)
    if FAULT == "does_not_start":
        print("cannot start: no licence")
        sys.exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if FAULT == "ignores_sigterm" else lambda *_: stop.set())
    if FAULT == "grandchild":  # one that leaves its session and its parent, and holds the file open
        code = "import os,sys,time; os.setsid(); f=open(sys.argv[1],'r+b'); os.fork() and os._exit(0); time.sleep(600)"
        subprocess.run([sys.executable, "-c", code, str(SQLITE)], check=True)
    database = Database()
    if os.environ.get("TINY_WRITES") == "1":
        threading.Thread(target=write_beats, args=(database,), daemon=True).start()
    if role == "web":
        Handler.database = database
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    if FAULT == "crashes_later" and role == "worker":
        time.sleep(1.0)
        sys.exit(7)
    stop.wait()
    database.connection.close()
    note(f"stop {role}")


main()
