"""Reading a stock Casbin model with its policy: role-based, with or without domains, each row with its line.

What has no counterpart in a policy folder is a fault with its place; nothing is guessed and nothing is skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import casbin
from casbin.persist.adapter import load_policy_line
from casbin.persist.adapters.string_adapter import StringAdapter

from klausel.core.policy.policy_set import Effect

ALLOW_OVERRIDE = "some(where(p.eft==allow))"
DENY_OVERRIDE = "some(where(p.eft==allow))&&!some(where(p.eft==deny))"
_SECTIONS = {"r", "p", "g", "e", "m"}


@dataclass(frozen=True, slots=True, order=True)
class StockFault:
    """What cannot be carried over: its file and line (0: the file as a whole), and a sentence with its cure."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class NotCarriedOver(Exception):
    """A stock set that cannot become a policy folder; carries every fault found, sorted by place."""

    def __init__(self, faults: list[StockFault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class StockRule:
    """One `p` row; `domain` is None in a model without domains."""

    line: int
    effect: Effect
    subject: str
    domain: str | None
    object: str
    action: str


@dataclass(frozen=True, slots=True)
class StockLink:
    """One `g` row: `member` has `role`, in `domain` (None in a model without domains)."""

    line: int
    member: str
    role: str
    domain: str | None


@dataclass(slots=True)
class StockSet:
    """A stock model with its rows.

    `order` is that of a request (`sub`, `dom`, `obj`, `act`); `domain_name` is what the model calls `dom`, None without domains.
    """

    model_file: str
    policy_file: str
    order: tuple[str, ...]
    domain_name: str | None
    enforcer: casbin.Enforcer
    rules: list[StockRule] = field(default_factory=list)
    links: list[StockLink] = field(default_factory=list)

    def asks(self, subject: str, domain: str | None, object_: str, action: str) -> bool:
        """What stock pycasbin answers."""
        values = {"sub": subject, "dom": domain, "obj": object_, "act": action}
        return bool(self.enforcer.enforce(*(values[name] for name in self.order)))


def read_stock_set(model_text: str, policy_text: str, model_file: str, policy_file: str) -> StockSet:
    """The rows of a stock set; raises `NotCarriedOver` with all that has no counterpart."""
    faults: list[StockFault] = []
    model = casbin.Model()
    try:
        model.load_model_from_text(model_text)
    except Exception as error:
        raise NotCarriedOver([StockFault(model_file, 0, f"Casbin cannot read this model: {error}")]) from error
    shape = _shape(model, model_text, model_file, faults)
    if faults:
        raise NotCarriedOver(faults)
    order, fields, domain_name = shape
    stock = StockSet(model_file, policy_file, order, domain_name, None)
    reads_denies = "deny" in model["e"]["e"].value
    for number, line in enumerate(policy_text.split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            key, row = _stock_row(text, model)
        except Exception as error:
            faults.append(StockFault(policy_file, number, f"Casbin cannot read this line: {error}"))
            continue
        fault = None
        if row is None:
            fault = f'Casbin ignores this line, because the model has no "{text.partition(",")[0].strip()}"; take it out'
        elif not all(row):
            fault = "a field is empty; fill it in, or take the line out"
        elif any('"' in value for value in row):
            fault = "Casbin reads the quotation marks as part of the name; take them out"
        elif key == "p":
            fault = _add_rule(stock, number, dict(zip(fields, row, strict=False)), (len(fields), len(row)), reads_denies)
        else:
            wanted = 2 if domain_name is None else 3
            if len(row) == wanted:
                stock.links.append(StockLink(number, row[0], row[1], None if domain_name is None else row[2]))
            else:
                fault = f"a g row has {wanted} fields in this model, this one has {len(row)}"
        if fault:
            faults.append(StockFault(policy_file, number, fault))
    if not faults and not stock.rules:
        faults.append(StockFault(policy_file, 0, "there is no p row, so nothing is allowed and there is nothing to make"))
    if faults:
        raise NotCarriedOver(faults)
    fresh = casbin.Model()
    fresh.load_model_from_text(model_text)
    stock.enforcer = casbin.Enforcer(fresh, StringAdapter("\n".join(line.strip() for line in policy_text.split("\n"))))
    return stock


def _shape(
    model: Any, text: str, file: str, faults: list[StockFault]
) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """The order of a request, the fields of a `p` row (both by `sub`, `dom`, `obj`, `act`, `eft`), and the name of the domain."""

    def fault(key: str, message: str) -> None:
        found = re.search(rf"^[ \t]*{re.escape(key)}[ \t]*=", text, re.MULTILINE)
        line = text.count("\n", 0, found.start()) + 1 if found else 0
        faults.append(StockFault(file, line, message))

    for section, assertions in model.model.items():
        for key in assertions if section in _SECTIONS else ():
            if key != section:
                fault(key, f'"{key}" has no counterpart; a policy folder knows one r, p, g, e and m')
    missing = [section for section in ("r", "p", "e", "m") if section not in model.model.get(section, {})]
    if missing:
        faults.append(StockFault(file, 0, f"the model has no {', '.join(missing)}"))
        return (), (), None
    asked = tuple(token.removeprefix("r_") for token in model["r"]["r"].tokens)
    fields = tuple(token.removeprefix("p_") for token in model["p"]["p"].tokens)
    others = [name for name in asked if name not in ("sub", "obj", "act")]
    if sorted(asked) != sorted({"sub", "obj", "act", *others}) or len(asked) not in (3, 4):
        fault("r", "a request must be sub, obj, act, with or without a domain beside them")
        return (), (), None
    domain_name = others[0] if others else None
    if sorted(fields) not in (sorted(asked), sorted((*asked, "eft"))):
        fault("p", f"a p row must have the fields of a request ({', '.join(asked)}), each once, and eft if wanted")
    has_roles = "g" in model.model.get("g", {})
    if has_roles:
        wanted = "_, _" if domain_name is None else "_, _, _"
        if re.sub(r"\s", "", model["g"]["g"].value) != wanted.replace(" ", ""):
            fault("g", f"with these requests it must be g = {wanted}")
    _check_matcher(model["m"]["m"].value, asked, domain_name, has_roles, fault)
    effect = re.sub(r"\s", "", model["e"]["e"].value).replace("p_eft", "p.eft")
    if effect not in (ALLOW_OVERRIDE, DENY_OVERRIDE):
        fault("e", "this effect has no counterpart; a grant allows, and a deny beats every allow")
    known = {domain_name: "dom"}
    return (
        tuple(known.get(name, name) for name in asked),
        tuple(known.get(name, name) for name in fields),
        domain_name,
    )


def _check_matcher(matcher: str, asked: tuple[str, ...], domain_name: str | None, has_roles: bool, fault: Any) -> None:
    """Every part must be one of those that a role-based model has, and none may be missing."""
    # As it is written, for people, under the form without blanks that is compared.
    written = {
        re.sub(r"\s", "", part): " ".join(part.split()) for part in re.sub(r"\b([rp])_(\w+)", r"\1.\2", matcher).split("&&")
    }
    by_role = "g(r.sub,p.sub)" if domain_name is None else f"g(r.sub,p.sub,r.{domain_name})"
    wanted = {by_role if has_roles else "r.sub==p.sub"}
    wanted |= {f"r.{name}==p.{name}" for name in asked if name != "sub"}
    turned = {f"p.{name}==r.{name}": f"r.{name}==p.{name}" for name in asked}
    found = {turned.get(part, part) for part in written}
    for part in sorted(found - wanted):
        known = ", ".join(sorted(wanted))
        fault("m", f"{written.get(part, part)} has no counterpart; parts of the matcher may be {known}, joined by &&")
    if not found - wanted:
        for part in sorted(wanted - found):
            fault("m", f"the matcher does not ask for {part}")


def _stock_row(text: str, model: Any) -> tuple[str, list[str] | None]:
    """The section and the fields of one line, as Casbin's own reader takes it into the model; no fields when it ignores it."""
    sections = [(key, model[key][key].policy) for key in ("p", "g") if key in model.model]
    before = [len(rows) for _, rows in sections]
    load_policy_line(text, model)
    for (key, rows), count in zip(sections, before, strict=True):
        if len(rows) > count:
            return key, list(rows[-1])
    return "", None


def _add_rule(stock: StockSet, line: int, row: dict[str, str], sizes: tuple[int, int], reads_denies: bool) -> str | None:
    """Adds a `p` row; what is wrong with it otherwise."""
    wanted, there = sizes
    if wanted != there:
        return f"a p row has {wanted} fields in this model, this one has {there}"
    effect = row.get("eft", "allow")
    if effect not in ("allow", "deny"):
        return f'the effect "{effect}" has no counterpart; write allow or deny'
    meant: Effect = "deny" if effect == "deny" else "allow"
    if meant == "deny" and not reads_denies:
        return (
            "this deny denies nothing, because the effect of the model reads allows alone; take it out, or change the effect"
        )
    domain = row["dom"] if stock.domain_name is not None else None
    stock.rules.append(StockRule(line, meant, row["sub"], domain, row["obj"], row["act"]))
    return None
