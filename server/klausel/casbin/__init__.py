"""The one place that meets Casbin: its rows, the enforcer, the role manager."""

from klausel.casbin.compiled_enforcer import CompiledEnforcer

__all__ = ["CompiledEnforcer"]
