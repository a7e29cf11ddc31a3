"""Role assignments in the database: exact rows, atomic writes, pages, and one query a subject."""
