"""Stored properties of subjects and resources in the database: checked, atomic, logged, and pages."""
