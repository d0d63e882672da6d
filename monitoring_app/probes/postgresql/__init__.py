"""What can be measured by asking a PostgreSQL server, one file a probe; probes/server.py asks them all."""
