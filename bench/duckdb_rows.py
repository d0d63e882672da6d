"""Rows from SQLite to PostgreSQL by DuckDB. Run by a Python that has it: `duckdb_rows.py SOURCE RECIPE`.

The tables are made first from the floor's recipe, so that types are the same for all. Their target names must be those
of the source, as they are in the generated database.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb  # type: ignore[import-not-found]  # in the environment that runs this, not in ours

source, recipe_path = sys.argv[1:3]
url = urlsplit(os.environ["BENCH_TARGET_URL"])
target = {
    "host": url.hostname,
    "port": url.port,
    "user": unquote(url.username or ""),
    "password": unquote(url.password or ""),
    "dbname": url.path[1:],
}
recipe = json.loads(Path(recipe_path).read_text())


def load_extension(connection: "duckdb.DuckDBPyConnection", name: str) -> None:
    """The file that the PyPI package brings; nothing is fetched."""
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    assert package is not None and package.submodule_search_locations
    file = next(Path(package.submodule_search_locations[0]).rglob("*.duckdb_extension"))
    connection.execute(f"LOAD '{file}'")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


connection = duckdb.connect(config={"threads": 2})
for extension in ("sqlite_scanner", "postgres_scanner"):
    load_extension(connection, extension)
connection.execute(f"ATTACH '{source}' AS source (TYPE sqlite, READ_ONLY)")
words = " ".join(f"{key}='{value}'" for key, value in target.items())
connection.execute("ATTACH '" + words.replace("'", "''") + "' AS target (TYPE postgres)")
connection.execute("CALL postgres_execute('target', ?)", [recipe["ddl"]])
connection.execute("CALL pg_clear_cache()")
for table in recipe["tables"]:
    connection.execute(f"INSERT INTO target.public.{quoted(table)} SELECT * FROM source.{quoted(table)}")
