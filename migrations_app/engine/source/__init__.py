"""The SQLite file: what is in it, read without trusting it."""
