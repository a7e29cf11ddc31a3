"""The loop that decides, written out as one Python function for one matcher and one effect.

It handles the common request: right size, texts where texts are compared, nothing raises. Everything else it hands to `odd`
(another number of values, an `EnforceContext`) or to `careful`, which starts again and is exact.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any

from casbin.core_enforcer import EnforceContext

from klausel.enforcer.effects import Effect
from klausel.enforcer.matcher.code import Writer
from klausel.enforcer.matcher.narrowing import Narrowing
from klausel.enforcer.matcher.split import Parts, RoleTest
from klausel.enforcer.matcher.tests import accepts

MISSING = object()
_A_CONTEXT = EnforceContext("r", "p", "e", "m")

_SETTLE = {
    "allow-override": ["if not eft: return answer", "found = answer"],
    "deny-override": ["if eft == 2: return answer", "found = answer"],
    "allow-and-deny": [
        "if eft == 2: return answer",
        "found = answer if not eft or not found[0] else (True, answer[1])",
    ],
    "priority": ["if eft != 1: return answer", "found = answer"],
}


class DecideCode:
    """The compiled loop of one matcher and one effect; each plan binds it to its own rows."""

    def __init__(
        self, parts: Parts, effect: Effect, writer: Writer, ways: Mapping[str, str], narrowing: Narrowing | None
    ) -> None:
        """`ways` says for each role function of a role test: `set`, `set by domain` or `membership`."""
        self.roles = list(dict.fromkeys((test.function, ways[test.function]) for test in parts.role_tests))
        self.source = _source(parts, effect, writer, ways, narrowing)
        writer.values["MISSING"] = MISSING
        self._function = writer.compile_source(self.source, "decide")

    def bind(self, values: Mapping[str, Any]) -> types.FunctionType:
        """The function `decide(*values of a request)` over these rows; see `_source` for the names it needs."""
        function = self._function
        assert isinstance(function, types.FunctionType)
        names = {**function.__globals__, "EnforceContext": EnforceContext, "accepts": accepts, "given": given, **values}
        return types.FunctionType(function.__code__, names, "decide", function.__defaults__)


def given(values: tuple[Any, ...], more: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values that a call of `decide` was really given."""
    return tuple(value for value in values if value is not MISSING) + more


def _source(parts: Parts, effect: Effect, writer: Writer, ways: Mapping[str, str], narrowing: Narrowing | None) -> str:
    """Names in it: r0… request values, k0… keys, s0… subjects, d0… domains, h0… roles held, q0… the row's role fields."""
    arguments = writer.arguments.removesuffix(", p, g").split(", ")
    values = f"({', '.join(arguments)},)"
    lines = [f"if more or {arguments[-1]} is MISSING:", f"    return odd(given({values}, more))"]
    if not _fails_for_a_context(parts, arguments[0], writer):
        lines += ["if isinstance(r0, EnforceContext):", f"    return odd({values})"]
    careful = f"return careful({values})"
    body = []
    for branch in parts.whole:
        body += [f"w = {writer.write(branch)}", "if w is True: return everything", f"if w is not False: {careful}"]
    keys = []
    for n, key in enumerate(parts.keys):
        keys.append(f"k{n}")
        body += [f"k{n} = {writer.write(key.request)}", f"if type(k{n}) is not str: {careful}"]
    key_source = keys[0] if len(keys) == 1 else f"({', '.join(keys)})"
    body += [
        f"bucket = bucket_of({key_source})",
        f"if bucket is None: return odd({values}) if isinstance(r0, EnforceContext) else nothing",
    ]
    for n, test in enumerate(parts.role_tests):
        body += _held(n, test, writer, ways, careful)
    fields = [f"q{n}" for n in range(len(parts.role_tests))]
    held = "".join(f"h{n}, " for n in range(len(fields)))
    asked = "None" if narrowing is None else writer.write(narrowing.request)
    body += [f"if type(bucket) is not tuple: bucket = rows_of({key_source}, ({held}), {asked})"]
    body += ["found = nothing", f"for {', '.join([*fields, 'test', 'p', 'eft', 'answer'])} in bucket:"]
    tests = " and ".join(f"q{n} in h{n}" for n in range(len(fields)))
    if tests:
        body += [f"    if not ({tests}): continue"]
    if parts.rest:
        body += [
            "    if test is not None:",
            f"        v = test({writer.arguments})",
            "        if v is not True and (v is False or not accepts(v)): continue",
        ]
    body += [f"    {line}" for line in _SETTLE[effect.name]]
    body += ["return found"]
    lines += ["try:", *(f"    {line}" for line in body), "except Exception:", "    pass", careful]
    parameters = ", ".join(f"{argument}=MISSING" for argument in arguments)
    return f"def decide({parameters}, *more):\n" + "\n".join(f"    {line}" for line in lines) + "\n"


def _fails_for_a_context(parts: Parts, first: str, writer: Writer) -> bool:
    """Whether the code surely leaves the common way, or finds no rows, when the first value is an `EnforceContext`.

    Contexts differ from texts, and have no attributes but four; so most matchers need not ask at once.
    """
    asked = [*(key.request for key in parts.keys), *(test.subject for test in parts.role_tests)]
    for tree in asked if not parts.whole else []:
        source = writer.write(tree)
        if source == first or (source.startswith(f"{first}.") and not hasattr(_A_CONTEXT, source.split(".")[1])):
            return True
    return False


def _held(n: int, test: RoleTest, writer: Writer, ways: Mapping[str, str], careful: str) -> Sequence[str]:
    subject = writer.write(test.subject)
    way = ways[test.function]
    if way == "membership":
        return [f"h{n} = {subject}", f"if type(h{n}) is not frozenset: {careful}"]
    lines = [f"s{n} = {subject}", f"if type(s{n}) is not str: {careful}"]
    name = key = f"s{n}"
    if way == "set by domain":
        domain = "''" if test.domain is None else writer.write(test.domain)
        lines += [f"d{n} = {domain}", f"if type(d{n}) is not str: d{n} = str(d{n})"]
        key = f"(s{n}, d{n})"
        name = f"s{n}, d{n}"
    lines += [f"h{n} = closed_{test.function}.get({key})", f"if h{n} is None: h{n} = roles_{test.function}({name})"]
    return lines
