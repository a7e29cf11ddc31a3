"""The one place that meets Casbin: its rows, the enforcer, the role manager."""
