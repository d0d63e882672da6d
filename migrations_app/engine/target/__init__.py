"""The PostgreSQL server: sessions, leases, the ledger, the catalogue."""
