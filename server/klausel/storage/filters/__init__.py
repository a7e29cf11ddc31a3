"""Filters as SQL expressions, exact on SQLite and on PostgreSQL."""
