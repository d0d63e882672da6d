"""SQL of SQLite as SQL of PostgreSQL, where both mean the same."""
