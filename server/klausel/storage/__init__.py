"""Files, SQL and git; no rule of access lives here."""
