"""The public way in for users of Casbin: `from klausel.casbin import CompiledEnforcer`, a drop-in for `casbin.Enforcer`."""

from klausel.enforcer.compiled_enforcer import CompiledEnforcer

__all__ = ["CompiledEnforcer"]
