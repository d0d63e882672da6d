"""The way back to SQLite: what changed since the switch, and how it is put into the file."""
