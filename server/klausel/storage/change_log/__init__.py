"""The change log of role assignments in the database: written, read, verified, checkpointed."""
