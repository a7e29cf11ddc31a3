"""The database: its tables, and opening it."""
