"""Policy sets as Casbin models and rows, joined to the enforcer."""
