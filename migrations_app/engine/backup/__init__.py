"""Backups of the file, proved by restoring them."""
