"""The applications that are tried: what to install, how each names a database, and what its operator has to choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Application:
    """One application. Its script in inside/ runs under its own Python: `SCRIPT VERB FOLDER URL`, a JSON answer.

    Verbs: `schema` makes the tables by the application's own means; `fill` writes rows through its own code; `read`
    tells what it holds, in a form that must be the same on both databases; `add` writes one row more of each kind, so
    that a sequence that is behind is found. `after` is what the application does itself after such a move.
    """

    name: str
    package: str  # whose version counts
    packages: tuple[str, ...]
    schema_manager: str
    choices: tuple[str, ...] = ()  # as --choose takes them
    excluded: tuple[str, ...] = ()
    afterwards: str = ""  # in words, what its verb `after` does: what the application itself has to do then
    environment: Mapping[str, str] = field(default_factory=dict)
    sqlite_url: Callable[[Path], str] = lambda path: f"sqlite:///{path}"
    postgres_url: Callable[[str], str] = lambda url: url
    database_sql: str = ""  # what the application asks of its database, as the superuser: extensions, for example
    collation: str = ""  # LC_COLLATE and LC_CTYPE that it insists on; '' for the server's


def _with_driver(driver: str) -> Callable[[str], str]:
    return lambda url: urlsplit(url)._replace(scheme=f"postgresql+{driver}").geturl()


SEEDS = "TARGET_NOT_EMPTY=empty"
# What each sequence of Synapse's counts, as its own porting script has it.
_STREAMS = {
    "account_data_sequence": "account_data.stream_id,room_account_data.stream_id,room_tags_revisions.stream_id",
    "application_services_txn_id_seq": "application_services_txns.txn_id",
    "device_inbox_sequence": "device_inbox.stream_id,device_federation_outbox.stream_id",
    "device_lists_sequence": "device_lists_stream.stream_id,user_signature_stream.stream_id"
    ",device_lists_outbound_pokes.stream_id,device_lists_changes_in_room.stream_id",
    "e2e_cross_signing_keys_sequence": "e2e_cross_signing_keys.stream_id",
    "event_auth_chain_id": "event_auth_chains.chain_id",
    "events_stream_seq": "events.stream_ordering",
    "presence_stream_sequence": "presence_stream.stream_id",
    "profile_updates_sequence": "profile_updates.stream_id",
    "push_rules_stream_sequence": "push_rules_stream.stream_id",
    "pushers_sequence": "pushers.id,deleted_pushers.stream_id",
    "quarantined_media_id_seq": "quarantined_media_changes.stream_id",
    "receipts_sequence": "receipts_linearized.stream_id",
    "state_group_id_seq": "state_groups.id",
    "sticky_events_sequence": "sticky_events.stream_id",
    "thread_subscriptions_sequence": "thread_subscriptions.stream_id",
    "un_partial_stated_event_stream_sequence": "un_partial_stated_event_stream.stream_id",
    "un_partial_stated_room_stream_sequence": "un_partial_stated_room_stream.stream_id",
}

APPLICATIONS = (
    Application(
        name="optuna",
        package="optuna",
        packages=("optuna", "psycopg2-binary"),
        schema_manager="SQLAlchemy's create_all, stamped for Alembic",
        choices=(SEEDS,),
        postgres_url=_with_driver("psycopg2"),
    ),
    Application(
        name="ihatemoney",
        package="ihatemoney",
        packages=("ihatemoney", "psycopg2-binary"),
        schema_manager="Alembic (Flask-Migrate), with SQLAlchemy-Continuum's history",
        choices=(SEEDS,),
    ),
    Application(
        name="jupyterhub",
        package="jupyterhub",
        packages=("jupyterhub", "psycopg2-binary"),
        schema_manager="create_all at the first start, stamped for Alembic",
        choices=(SEEDS,),
        postgres_url=_with_driver("psycopg2"),
    ),
    Application(
        name="wagtail",
        package="wagtail",
        packages=("wagtail", "psycopg[binary]"),
        schema_manager="Django's migrate",
        choices=(SEEDS, "TARGET_SEARCH_INDEX=skip"),
        afterwards="`update_index` makes the search index anew",
    ),
    Application(
        name="synapse",
        package="matrix-synapse",
        packages=("matrix-synapse[postgres]", "psycopg2-binary"),
        schema_manager="schema deltas of its own, at its start",
        choices=(
            SEEDS,
            "VERSIONS_DIFFER=keep_target",
            "SEQUENCE_WITHOUT_COLUMN=keep",
            *(f"SEQUENCE_WITHOUT_COLUMN@{name}=follow:{columns}" for name, columns in _STREAMS.items()),
        ),
        afterwards="a background update makes the full-text index anew",
        collation="C",
    ),
)
