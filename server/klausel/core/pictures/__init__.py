"""Pictures of policies: what is drawn, where it stands, and its writers."""
