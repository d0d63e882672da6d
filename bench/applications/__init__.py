"""Real applications moved into the schema that they made themselves: `python -m bench.applications [NAME ...]`.

Each is installed from its package registry into an environment of its own, filled through its own code on SQLite,
moved in mode `existing`, and asked through its own code on PostgreSQL for what it had before.
"""
