"""Errors of PostgreSQL that betray an application written for SQLite: what likely causes each, and what mends it.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html. Causes: where SQLite is laxer, by
https://www.sqlite.org/quirks.html and https://www.sqlite.org/datatype3.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Cause:
    """title: PostgreSQL's name for it. cause: what SQLite let pass. mend: what to do in the application or the data.

    of_sqlite: it comes from moving; else it may happen to any application.
    """

    title: str
    cause: str
    mend: str
    of_sqlite: bool = True


CAUSES: Final[dict[str, Cause]] = {
    "22P02": Cause(
        "Invalid text for a type",
        "SQLite takes any text in any column and compares it with anything: '' for a number, 'True' for a boolean.",
        "Convert in the application before it asks; send NULL where there is nothing.",
    ),
    "42883": Cause(
        "No such function or operator",
        "A function that only SQLite has (strftime, ifnull, julianday, group_concat, datetime('now')), or two types"
        " compared that PostgreSQL does not mix (integer = text).",
        "Use to_char, coalesce, string_agg, now(); cast one side, or send the parameter as the column's type.",
    ),
    "23505": Cause(
        "Value is there already",
        "A sequence behind the largest id after the move; or INSERT OR REPLACE / OR IGNORE that was half replaced.",
        "Look at the sequences first: setval() to the column's maximum. Then ON CONFLICT … DO UPDATE or DO NOTHING.",
    ),
    "42804": Cause(
        "Types don't match",
        "SQLite has no boolean: 0 and 1 are written to columns that are boolean; branches of a CASE of mixed types.",
        "Send true and false; cast the branches to one type.",
    ),
    "22001": Cause(
        "Text is too long",
        "SQLite does not enforce the length of VARCHAR(n); longer text came in all the time.",
        "Make the column text or longer, or cut off before writing, on purpose.",
    ),
    "25P02": Cause(
        "Transaction has failed already",
        "In SQLite a transaction goes on after a failed statement; in PostgreSQL it must be rolled back first.",
        "Find the error before this one. Roll back, or use a savepoint where a failure is expected.",
    ),
    "40001": Cause(
        "Transactions got in each other's way",
        "SQLite lets one writer at a time; now several write at once.",
        "Repeat the transaction from its begin; keep it short.",
    ),
    "40P01": Cause(
        "Deadlock",
        "SQLite lets one writer at a time; now two lock the same rows in different order.",
        "Lock rows in one order everywhere; repeat the transaction.",
    ),
    "42601": Cause(
        "Syntax error",
        "SQLite's own syntax: INSERT OR REPLACE, backticks, PRAGMA, LIMIT a, b, ? as a parameter.",
        "Write it as PostgreSQL has it: ON CONFLICT, double quotes, LIMIT b OFFSET a.",
    ),
    "42703": Cause(
        "No such column",
        'SQLite reads "text" in double quotes as a string where no column has that name, and ignores case.',
        "Single quotes for strings; the column's exact name in double quotes where it has capitals.",
    ),
    "42P01": Cause(
        "No such table",
        "SQLite ignores the case of names; PostgreSQL folds what is not quoted to lower case. Or sqlite_master.",
        "The table's exact name in double quotes; is its schema on the role's search_path?",
    ),
    "42803": Cause(
        "Column is neither grouped nor aggregated",
        "SQLite takes any row's value for a column that GROUP BY doesn't name.",
        "Name the column in GROUP BY, or say which value is meant: min(), max(), DISTINCT ON.",
    ),
    "42P10": Cause(
        "ON CONFLICT or DISTINCT names the wrong columns",
        "SQLite is laxer about what ON CONFLICT and ORDER BY may name.",
        "Name the columns of a unique index; order by what DISTINCT selects.",
    ),
    "42P18": Cause(
        "Type of a parameter is not known",
        "SQLite has no types for parameters; PostgreSQL must know one.",
        "Cast it: CAST(:value AS integer).",
    ),
    "42846": Cause(
        "Can't be cast",
        "SQLite casts anything to anything.",
        "Cast through text, or convert in the application.",
    ),
    "42702": Cause("Column is ambiguous", "SQLite picks one of two columns of the same name.", "Name its table."),
    "42704": Cause(
        "No such type or object",
        "A type or collation that only SQLite has (NOCASE, DATETIME).",
        "Use PostgreSQL's: citext or lower() for NOCASE, timestamp for DATETIME.",
    ),
    "23502": Cause(
        "NULL where none may be",
        "SQLite fills an INTEGER PRIMARY KEY when NULL is given; NOT NULL with an empty default was never checked.",
        "Leave the column out so that its default counts, or give a value.",
    ),
    "23503": Cause(
        "Row of another table is missing, or still needed",
        "SQLite checks foreign keys only after PRAGMA foreign_keys = ON; most applications never did.",
        "Write parents first, delete children first, or say ON DELETE in the foreign key.",
    ),
    "23514": Cause(
        "Check refused a value",
        "A value that the moved data had and new data may not.",
        "Send what the check allows, or change the check on purpose.",
    ),
    "22003": Cause(
        "Number is out of range",
        "Every integer of SQLite has 64 bits; a column of type integer has 32 here.",
        "Make the column bigint.",
    ),
    "22007": Cause(
        "Not a date or time",
        "SQLite keeps dates as text and checks none: '' or '0000-00-00' pass.",
        "Send NULL or a real date.",
    ),
    "22008": Cause(
        "Date or time that does not exist",
        "SQLite keeps dates as text and checks none: 30 February passes.",
        "Check dates where people type them.",
    ),
    "22012": Cause("Division by zero", "SQLite answers NULL.", "Divide by nullif(x, 0)."),
    "22021": Cause(
        "Byte sequence is no valid text",
        "SQLite keeps any bytes in a text column, NUL too.",
        "Decode and clean text where it comes in; bytes belong in bytea.",
    ),
    "22P05": Cause("Character can't be translated", "SQLite keeps any bytes in text.", "Clean text where it comes in."),
    "53300": Cause(
        "Too many connections",
        "SQLite has no connections to run out of; each process brings a pool of its own now.",
        "DB_POOL_SIZE + DB_MAX_OVERFLOW, times the number of processes, must stay below the server's limit.",
    ),
    "25P03": Cause(
        "Transaction idled too long",
        "With SQLite an open transaction that waits for a person cost nothing.",
        "Commit before waiting for anything outside.",
    ),
    "55P03": Cause("Lock was not to be had", "Another transaction holds it.", "Keep transactions short.", False),
    "57014": Cause("Query was cancelled", "It took longer than it may.", "Look at the slow queries.", False),
    "57P01": Cause("Server ended the session", "It was stopped, or somebody ended it.", "Connect again.", False),
    "42501": Cause("Right is missing", "The role may not do it.", "GRANT what the application needs.", False),
    "53100": Cause("Disk is full", "The server can't write.", "Make room at once.", False),
    "53200": Cause("Out of memory", "The server's machine has too little.", "Lower work_mem.", False),
}
