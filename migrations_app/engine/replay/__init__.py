"""Rows of a live crossing from one side to the other: forward from SQLite's log, back from PostgreSQL's queue."""
