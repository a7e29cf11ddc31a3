"""The public way in for users of Casbin: drop-ins for `casbin.Enforcer` and `casbin.AsyncEnforcer`."""

from klausel.enforcer.compiled_enforcer import AsyncCompiledEnforcer, CompiledEnforcer
from klausel.enforcer.installation import warn_where_overwritten

__all__ = ["AsyncCompiledEnforcer", "CompiledEnforcer"]

warn_where_overwritten()
