"""Whether a Casbin model is one that the service can use: its request, its grants, its inheritance and its effect."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Collection
from functools import lru_cache

import casbin
from casbin.util import util

from klausel.core.terms.problem import Place, Problem
from klausel.enforcer.matcher.text import NotCompilable, parse
from klausel.enforcer.matcher.tree import conjuncts

REQUIRED = {
    "request_definition": ("r", "sub, dom, obj, act, ctx"),
    "policy_definition": ("p", "sub, dom, obj, act, cond, eft"),
    "role_definition": ("g", "_, _, _"),
    "policy_effect": ("e", "some(where (p.eft == allow)) && !some(where (p.eft == deny))"),
    "matchers": ("m", None),
}
MATCHER = (
    "r.obj.type == p.obj && r.act.name == p.act && g(r.sub.roles, p.sub, r.dom)"
    ' && (p.dom == "*" || within(r.dom, p.dom)) && eval(p.cond)'
)
"""What check, test, prove, diff and every other analysis take a grant to mean."""
_HINT = "without the file Klausel takes its own model.conf, of which only comments and layout may be changed"
_STOCK_HINT = "klausel import casbin makes a policy folder of a model and its rules that were written for stock Casbin"
_MATCHER_HINT = (
    "use the matcher of the model.conf that comes with Klausel; who may do what belongs in the policies,"
    " where it is checked, tested and compared"
)


def read_model(text: str) -> casbin.Model:
    """The Casbin model of a text that `problems_in_model` has found good."""
    model = casbin.Model()
    model.load_model_from_text(text)
    return model


def model_meaning(text: str) -> tuple[str, ...]:
    """What a good model says, without remarks and layout; equal for models that mean the same by their spelling."""
    model = read_model(text)
    return tuple(" ".join(model[section][section].value.split()) for section in "rpgem")


def line_of_matcher(text: str) -> int:
    """The line on which the matcher of a good model starts."""
    return next((number for number, line in _logical_lines(text) if re.match(r"m\s*=", line)), 1)


def model_digest(text: str) -> str:
    """The name of a model, as `sha256:…` over its text: what `sha256sum model.conf` prints."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@lru_cache(maxsize=16)
def other_matcher(text: str) -> str | None:
    """The digest of a good model whose matcher is not Klausel's; None for one that means what every analysis assumes."""
    # What Casbin read is compared, not our reading of the lines: it is what decides.
    matcher = read_model(text)["m"]["m"].value
    is_ours = _conjuncts_of(matcher) == _conjuncts_of(util.escape_assertion(MATCHER))
    return None if is_ours else model_digest(text)


def problems_in_model(text: str, file: str, accepted: Collection[str] = ()) -> list[Problem]:
    """Everything that keeps the service from using this model; empty when it fits.

    A matcher that is not Klausel's fits where the digest of the model is among the `accepted` ones.
    """
    problems: list[Problem] = []
    found: dict[str, tuple[int, dict[str, tuple[int, str]]]] = {}
    section: str | None = None
    for number, line in _logical_lines(text):
        place = Place(file, number, 1)
        header = re.fullmatch(r"\[(\w+)\]", line)
        if header:
            section = header[1]
            if section not in REQUIRED or section in found:
                why = "is repeated" if section in found else "has no meaning here"
                problems.append(Problem(place, "model-shape", f"section [{section}] {why}", _HINT))
            found.setdefault(section, (number, {}))
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        lacking = _lacking_section(text, key, section) if equals else None
        if lacking is not None:
            where = f"in [{section}]" if section else "before any section"
            message = f"{key} stands {where}, since the line [{lacking}] is missing above it"
            problems.append(Problem(place, "model-shape", message, _HINT))
            found.setdefault(lacking, (number, {}))[1][key] = (number, REQUIRED[lacking][1] or value)
        elif not equals or section is None:
            problems.append(Problem(place, "model-shape", "this line is no section and no `key = value`", _HINT))
        elif section in REQUIRED and key != REQUIRED[section][0]:
            problems.append(Problem(place, "model-shape", f'unknown key "{key}" in [{section}]', _HINT))
        elif key in found[section][1]:
            problems.append(Problem(place, "model-shape", f'key "{key}" is repeated in [{section}]', _HINT))
        else:
            found[section][1][key] = (number, value)
    if not found and not problems:
        return [Problem(Place(file, 1, 1), "model-shape", "the model says nothing", _HINT)]
    asked = found.get("request_definition", (1, {}))[1].get("r")
    granted = found.get("policy_definition", (1, {}))[1].get("p")
    if asked and granted and not {"ctx"} & {*_parts_of(asked[1])} and not {"cond"} & {*_parts_of(granted[1])}:
        message = f"this model was written for stock Casbin: it asks about `{asked[1]}`, and has no conditions"
        return [Problem(Place(file, asked[0], 1), "model-shape", message, _STOCK_HINT)]
    for name, (key, wanted) in REQUIRED.items():
        number, keys = found.get(name, (1, {}))
        if key not in keys:
            problems.append(Problem(Place(file, number, 1), "model-shape", f"[{name}] has no {key}", _HINT))
        elif wanted is not None and not _says(name, keys[key][1], wanted):
            exactly = " to the letter, blanks included" if "".join(keys[key][1].split()) == "".join(wanted.split()) else ""
            message = f"{key} in [{name}] is not `{wanted}`{exactly}"
            problems.append(Problem(Place(file, keys[key][0], 1), "model-shape", message, _HINT))
        elif not keys[key][1]:
            problems.append(Problem(Place(file, keys[key][0], 1), "model-shape", f"{key} in [{name}] is empty", _HINT))
    return problems or _problems_of_casbin(text, file, accepted)


def _parts_of(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]


def _says(section: str, value: str, wanted: str) -> bool:
    """Whether a value is the one wanted, as Casbin reads it: lists by their parts, an effect by its exact text."""
    return value == wanted if section == "policy_effect" else _parts_of(value) == _parts_of(wanted)


def _lacking_section(text: str, key: str, section: str | None) -> str | None:
    """The section that a key belongs to, where it stands in another and no line begins that section; None otherwise."""
    own = next((name for name, (required, _) in REQUIRED.items() if required == key), None)
    if own is None or own == section or any(line == f"[{own}]" for _, line in _logical_lines(text)):
        return None
    return own


def _problems_of_casbin(text: str, file: str, accepted: Collection[str]) -> list[Problem]:
    try:
        digest = other_matcher(text)
        odd = next(
            (key for key, wanted in REQUIRED.values() if wanted is not None and not _is_read_as(text, key, wanted)), None
        )
    except Exception as error:
        return [Problem(Place(file, 1, 1), "model-shape", f"Casbin cannot read the model: {error}", _HINT)]
    if odd is not None:
        return [Problem(Place(file, 1, 1), "model-shape", f"Casbin reads another {odd} than stands here", _HINT)]
    if digest is not None and digest not in accepted:
        message = (
            "the matcher is another than that of Klausel: decisions would differ from what is checked, tested and proved"
        )
        return [
            Problem(
                Place(file, line_of_matcher(text), 1),
                "model-matcher",
                message,
                f"{_MATCHER_HINT}; or take it unchecked: --accept-model {digest}",
            )
        ]
    return []


def _is_read_as(text: str, key: str, wanted: str) -> bool:
    """Whether Casbin reads under a key of a model what is wanted there."""
    assertion = read_model(text)[key][key]
    if key == "e":
        return bool(assertion.value == util.escape_assertion(wanted))
    if key == "g":
        return _parts_of(assertion.value) == _parts_of(wanted)
    return list(assertion.tokens) == [f"{key}_{part}" for part in _parts_of(wanted)]


def _conjuncts_of(matcher: str) -> list[str] | None:
    """What must hold together, in no order, whatever the layout; None for a matcher that cannot be taken apart."""
    try:
        return sorted(ast.dump(_EqualsSorted().visit(part)) for part in conjuncts(parse(matcher)))
    except NotCompilable:
        return None


class _EqualsSorted(ast.NodeTransformer):
    """Puts the two sides of each `==` into one order."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                first, second = sorted((left, right), key=ast.dump)
                return ast.Compare(first, [ast.Eq()], [second])
        return node


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers; a line that ends in a backslash goes on in the next."""
    lines: list[tuple[int, str]] = []
    begun: tuple[int, str] | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if begun is None and (not line or line.startswith(("#", ";"))):
            continue
        start, so_far = begun or (number, "")
        if line.endswith("\\"):
            begun = (start, so_far + line[:-1].strip() + " ")
            continue
        lines.append((start, so_far + line))
        begun = None
    return [*lines, begun] if begun else lines
