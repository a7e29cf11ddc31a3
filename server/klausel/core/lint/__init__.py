"""Lint: what may stand in a policy set but is most often a mistake. See `klausel.core.lint.registry`."""
