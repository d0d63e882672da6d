"""What becomes of SQLite files that others wrote: `python -m bench.cases DIR`."""
