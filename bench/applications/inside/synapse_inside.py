"""Synapse: a Matrix homeserver with people, rooms and messages, through its client API (schema deltas of its own).

Full-text search is a virtual table of SQLite's on one side and a tsvector column on the other: `after` asks for it to
be made anew, by the background update that Synapse has for it.
"""

import contextlib
import json
import sqlite3
import sys
import time
import urllib.parse
from pathlib import Path
from urllib.parse import unquote, urlsplit

from answer import main
from serving import call, free_port, running

_CONFIG = """
server_name: trial.localhost
pid_file: {folder}/synapse.pid
listeners:
  - {{port: {port}, type: http, bind_addresses: [127.0.0.1], resources: [{{names: [client], compress: false}}]}}
database: {database}
log_config: {folder}/log.yaml
media_store_path: {folder}/media
signing_key_path: {folder}/signing.key
macaroon_secret_key: only-for-this-trial
form_secret: only-for-this-trial
report_stats: false
background_updates: {{sleep_enabled: false, background_update_duration_ms: 500}}
trusted_key_servers: []
enable_registration: true
enable_registration_without_verification: true
enable_room_list_search: true
room_list_publication_rules: [{{action: allow}}]
presence: {{enabled: false}}
rc_message: {{per_second: 10000, burst_count: 10000}}
rc_registration: {{per_second: 10000, burst_count: 10000}}
rc_joins: {{local: {{per_second: 10000, burst_count: 10000}}, remote: {{per_second: 100, burst_count: 100}}}}
rc_invites: {{per_room: {{per_second: 1000, burst_count: 1000}}, per_user: {{per_second: 1000, burst_count: 1000}}}}
rc_login: {{address: {{per_second: 1000, burst_count: 1000}}, account: {{per_second: 1000, burst_count: 1000}}}}
rc_room_creation: {{per_second: 1000, burst_count: 1000}}
"""
_LOG = """
version: 1
handlers: {console: {class: logging.StreamHandler}}
root: {level: WARNING, handlers: [console]}
"""


class _Server:
    def __init__(self, folder, url):
        self.folder, self.port = Path(folder), free_port()
        self.base = f"http://127.0.0.1:{self.port}/_matrix/client"
        parts = urlsplit(url)
        if parts.scheme == "sqlite":
            database = {"name": "sqlite3", "args": {"database": parts.path[1:]}}
        else:
            arguments = {"user": unquote(parts.username), "password": unquote(parts.password), "dbname": parts.path[1:]}
            where = {"host": parts.hostname, "port": parts.port, "cp_min": 1, "cp_max": 5}
            database = {"name": "psycopg2", "args": {**arguments, **where}}
        (self.folder / "log.yaml").write_text(_LOG)
        self.config = self.folder / "homeserver.yaml"
        self.config.write_text(_CONFIG.format(folder=folder, port=self.port, database=json.dumps(database)))

    def running(self):
        if not (self.folder / "signing.key").exists():
            from signedjson.key import generate_signing_key, write_signing_keys

            with (self.folder / "signing.key").open("w") as key:
                write_signing_keys(key, [generate_signing_key("a_trial")])
        command = [sys.executable, "-m", "synapse.app.homeserver", "--config-path", str(self.config)]
        return running(command, self.folder, f"{self.base}/versions")

    def __call__(self, method, path, body=None, token=""):
        return call(method, self.base + path, body, {"Authorization": f"Bearer {token}"} if token else {})

    def register(self, name):
        body = {"username": name, "password": "a long secret", "auth": {"type": "m.login.dummy"}}
        return self("POST", "/v3/register", body)


def schema(folder, url):
    with _Server(folder, url).running():
        _wait_for_updates(url)


def fill(folder, url):
    server = _Server(folder, url)
    with server.running():
        people = [server.register(f"person{i}") for i in range(8)]
        rooms = [_room(server, people, number) for number in range(6)]
        for number in range(120):
            _message(server, people[number % 3], rooms[number % 6], number)
        _around(server, people, rooms)
        _wait_for_updates(url)
    (Path(folder) / "people.json").write_text(json.dumps([people, rooms]))


def _room(server, people, number):
    body = {
        "name": f"Room {number} — “quoted” \\ 日本",
        "topic": "cheese",
        "preset": ("public_chat", "private_chat")[number % 2],
        "room_alias_name": f"room{number}",
        "invite": [person["user_id"] for person in people[1:5]],
    }
    room = server("POST", "/v3/createRoom", body, people[0]["access_token"])["room_id"]
    for person in people[1:4]:
        server("POST", f"/v3/join/{urllib.parse.quote(room)}", {}, person["access_token"])
    return room


def _message(server, person, room, number):
    body = {"msgtype": "m.text", "body": f"message {number}: raclette or fondue? \U0001f9c0\ttab\\n"}
    path = f"/v3/rooms/{urllib.parse.quote(room)}/send/m.room.message/t{number}-{person['user_id'][1:8]}"
    return server("PUT", path, body, person["access_token"])["event_id"]


def _around(server, people, rooms):
    first, room = people[0], urllib.parse.quote(rooms[0])
    token, who = first["access_token"], urllib.parse.quote(first["user_id"])
    event = _message(server, first, rooms[0], 500)
    server("PUT", f"/v3/rooms/{room}/redact/{urllib.parse.quote(event)}/r1", {"reason": "oops"}, token)
    read = _message(server, first, rooms[0], 501)
    server("POST", f"/v3/rooms/{room}/receipt/m.read/{urllib.parse.quote(read)}", {}, people[1]["access_token"])
    server("PUT", f"/v3/profile/{who}/displayname", {"displayname": "Zoë 李"}, token)
    server("PUT", f"/v3/user/{who}/account_data/org.example.note", {"deep": [1, None, "x"], "t": True}, token)
    server("PUT", f"/v3/user/{who}/rooms/{room}/tags/u.work", {"order": 0.25}, token)
    server("POST", f"/v3/user/{who}/filter", {"room": {"timeline": {"limit": 5}}}, token)
    server("PUT", f"/v3/directory/list/room/{room}", {"visibility": "public"}, token)
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": read, "key": "\U0001f44d"}}
    server("PUT", f"/v3/rooms/{room}/send/m.reaction/x1", reaction, people[2]["access_token"])
    server("PUT", "/v3/sendToDevice/org.example/x", {"messages": {first["user_id"]: {"*": {"a": 1}}}}, token)


def read(folder, url):
    server = _Server(folder, url)
    people, rooms = json.loads((Path(folder) / "people.json").read_text())
    found = {}
    with server.running():
        for person in people:
            token, name = person["access_token"], person["user_id"]
            who = urllib.parse.quote(name)
            found[f"sync {name}"] = _in_any_order(server("GET", "/v3/sync?full_state=true", token=token))
            found[f"profile {name}"] = server("GET", f"/v3/profile/{who}")
            found[f"joined {name}"] = sorted(server("GET", "/v3/joined_rooms", token=token)["joined_rooms"])
        token = people[0]["access_token"]
        for room in rooms:
            quoted = urllib.parse.quote(room)
            messages = server("GET", f"/v3/rooms/{quoted}/messages?dir=b&limit=500", token=token)
            found[f"messages {room}"] = _still(messages["chunk"])
            members = server("GET", f"/v3/rooms/{quoted}/members", token=token)["chunk"]
            found[f"members {room}"] = sorted(json.dumps(_still(member), sort_keys=True) for member in members)
        search = {"search_categories": {"room_events": {"search_term": "raclette", "order_by": "recent"}}}
        results = server("POST", "/v3/search", search, token)["search_categories"]["room_events"]
        found["search"] = results["count"]
        found["public"] = _in_any_order(server("GET", "/v3/publicRooms", token=token))
    assert found["search"], "the search finds nothing"
    return found


_MOVING = {"age", "next_batch", "prev_batch", "next_token", "start", "end", "pos", "prev_sender", "replaces_state"}


def _still(value):
    """Without what is a moment's, a place's or one connection's."""
    if isinstance(value, dict):
        return {key: _still(each) for key, each in value.items() if key not in _MOVING}
    if isinstance(value, list):
        return [_still(each) for each in value]
    return value


def _in_any_order(value):
    """A room's state and the lists of rooms come in any order; that of the messages is looked at by itself."""
    value = _still(value)
    if isinstance(value, dict):
        return {key: _in_any_order(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted((_in_any_order(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    return value


def after(folder, url):
    """The full-text index is asked for by a row, as a schema delta of Synapse's would; it is made at the next start."""
    import psycopg2

    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT min(stream_ordering), max(stream_ordering) + 1 FROM events")
        low, high = cursor.fetchone()
        progress = {"target_min_stream_id_inclusive": low, "max_stream_id_exclusive": high, "rows_inserted": 0}
        cursor.execute(
            "INSERT INTO background_updates (update_name, progress_json) VALUES ('event_search', %s)",
            (json.dumps(progress),),
        )
    connection.close()
    with _Server(folder, url).running():
        _wait_for_updates(url)


def _wait_for_updates(url):
    """Synapse finishes some of its schema in the background; what is not done yet must not be moved."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if not _pending(url):
            return
        time.sleep(0.5)
    raise SystemExit(f"{_pending(url)} background updates didn't end")


def _pending(url):
    query = "SELECT count(*) FROM background_updates"
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(f"file:{urlsplit(url).path[1:]}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchone()[0]
    import psycopg2

    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def add(folder, url):
    server = _Server(folder, url)
    people, rooms = json.loads((Path(folder) / "people.json").read_text())
    with server.running():
        later = server.register("later")
        room = _room(server, [later, *people], 77)
        event = _message(server, people[0], rooms[0], 9000)
        quoted = urllib.parse.quote(rooms[0])
        newest = server("GET", f"/v3/rooms/{quoted}/messages?dir=b&limit=1", token=people[0]["access_token"])
        assert newest["chunk"][0]["event_id"] == event, "the newest message isn't the last one"
        return {"room": room, "event": event}


main(schema=schema, fill=fill, read=read, add=add, after=after)
