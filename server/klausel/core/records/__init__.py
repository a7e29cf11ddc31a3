"""Records that auditors keep: of the change log of role assignments, and of decisions."""
