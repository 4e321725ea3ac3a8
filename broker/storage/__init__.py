"""Fulfils the storage ports on SQLite and PostgreSQL."""
