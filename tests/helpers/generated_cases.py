"""Generated Casbin models, rows, requests and edits, for comparing the compiled enforcer with stock pycasbin."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import casbin
from casbin.effect import Effector

EFFECTS = (
    "some(where (p.eft == allow))",
    "!some(where (p.eft == deny))",
    "some(where (p.eft == allow)) && !some(where (p.eft == deny))",
    "priority(p.eft) || deny",
    "subjectPriority(p.eft) || deny",
)
SUBJECTS = ("alice", "bob", "admin", "staff", "*", "", "None", "zoë")
OBJECTS = ("/data1", "/data2", "/data/*", "/data/:id", "*", "data.", "it's")
ACTIONS = ("read", "write", "(read)|(write)", "*")
DOMAINS = ("d1", "d2", "d*", "None")
RULES = (
    "True",
    "r.sub.age > 18",
    'r.sub.name == "alice" && r.sub.age < 60',
    'r.sub.age >= 18 || r.sub.name in ("bob", "x")',
    "!(r.sub.age > 18)",
    "r.sub.flag",
    "r.obj == p.obj",
    '"a!b" == "a!b"',
    "18 < r.sub.age < 60",
    "r.sub.age + 1 > 18",
    'r.sub.name.startswith("a")',
    "r.sub.missing == 1",
    "",
    "r.sub.age >",
    "True) || (True",
    "nothing(1)",
)


class Named(str, enum.Enum):  # noqa: UP042 - its hash is what matters
    """Names that are texts, but whose hashes differ from those of the texts."""

    FIRST = "alice"


class Anyone:
    """A value that says it equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "Anyone()"


@dataclass
class Person:
    """A subject with attributes; equal to nothing but itself."""

    name: str
    age: Any
    flag: Any = True

    __eq__ = object.__eq__
    __hash__ = object.__hash__


@dataclass(frozen=True)
class Part:
    """A conjunct of a generated matcher, and whether a plan may try it before those to its left."""

    text: str
    is_quick: bool = False


@dataclass
class Case:
    """A generated model with its rows, and what is asked of it."""

    model: str
    parts: tuple[Part, ...]
    whole: str | None
    """A disjunct about the request alone, beside the conjunction of the parts."""
    fields: tuple[str, ...]
    rows: list[list[str]]
    roles: dict[str, list[list[str]]]
    request_fields: tuple[str, ...]
    subjects: tuple[Any, ...]
    match_names: bool = False
    match_domains: bool = False

    def enforcer(self, kind: type[Any]) -> Any:
        """An enforcer of this kind over the case as it is now."""
        model = casbin.Model()
        model.load_model_from_text(self.model)
        enforcer = kind(model)
        enforcer.auto_save = False
        if self.match_names:
            enforcer.add_named_matching_func("g", casbin.util.key_match)
        if self.match_domains:
            enforcer.add_named_domain_matching_func("g", casbin.util.key_match)
        enforcer.add_function("isLong", lambda text: len(text) > 4)
        enforcer.model["p"]["p"].policy = [list(row) for row in self.rows]
        for name, rows in self.roles.items():
            enforcer.model["g"][name].policy = [list(row) for row in rows]
        enforcer.build_role_links()
        return enforcer


def make_case(random: Random) -> Case:
    """A case of any shape that the generator knows."""
    has_domain = random.random() < 0.35
    has_rule = random.random() < 0.3
    has_effect = random.random() < 0.75
    request = ("sub", "dom", "obj", "act") if has_domain else ("sub", "obj", "act")
    fields = [*request, *(["rule"] if has_rule else []), *(["eft"] if has_effect else [])]
    random.shuffle(fields)
    roles = random.choice(([], ["g"], ["g"], ["g", "g2"]))
    parts = _parts(random, has_domain, has_rule, roles)
    matcher = " && ".join(part.text for part in parts)
    whole = None
    extra = random.random()
    if extra < 0.08:
        whole = 'r.act == "root"'
        matcher = f"{matcher} || {whole}"
    elif extra < 0.12:
        whole = 'r.obj in ["/data1", "x"]'
        matcher = f"{whole} || {matcher}"
    elif extra < 0.16:
        matcher, parts = f"!({matcher})", ()
    effect = random.choice(EFFECTS[:4]) if "g" not in roles or has_domain else random.choice(EFFECTS)
    model = "\n".join(
        [
            "[request_definition]",
            f"r = {', '.join(request)}",
            "[policy_definition]",
            f"p = {', '.join(fields)}",
            *(["[role_definition]"] if roles else []),
            *(f"{name} = _, _{', _' if has_domain and name == 'g' else ''}" for name in roles),
            "[policy_effect]",
            f"e = {effect}",
            "[matchers]",
            f"m = {matcher}",
        ]
    )
    subjects = (*SUBJECTS, Named.FIRST, None, 7, ["alice"]) if random.random() < 0.3 else SUBJECTS
    if has_rule or random.random() < 0.15:
        subjects = (*(Person(name, age) for name in ("alice", "bob") for age in (16, 30, 70)), {"name": "alice", "age": 20})
        if random.random() < 0.2:
            subjects = (*subjects, Person("bob", 20, flag=1), Person("bob", "old"), "alice", Anyone())
    case = Case(model, parts, whole, tuple(fields), [], {name: [] for name in roles}, request, subjects)
    rules = random.choice((RULES[:4], RULES[:11], RULES))
    for _ in range(random.choice((0, 1, 3, 6, 12))):
        case.rows.append(make_row(random, case, rules))
    for name in roles:
        case.roles[name] = [make_link(random, has_domain and name == "g") for _ in range(random.randrange(8))]
        case.roles[name] = [list(link) for link in dict.fromkeys(map(tuple, case.roles[name]))]
    if "g" in roles and random.random() < 0.15:
        case.match_names = True
        case.match_domains = has_domain and random.random() < 0.5
    return case


def make_row(random: Random, case: Case, rules: tuple[str, ...] = RULES[:11]) -> list[str]:
    """A row of the case's shape."""
    values = {
        "sub": random.choice(SUBJECTS),
        "dom": random.choice(DOMAINS),
        "obj": random.choice(OBJECTS),
        "act": random.choice(ACTIONS),
        "rule": random.choice(rules),
        "eft": random.choices(("allow", "deny", "Deny"), (6, 4, 1))[0],
    }
    return [values[name] for name in case.fields]


def make_link(random: Random, has_domain: bool) -> list[str]:
    """A row of a role definition."""
    names = (*SUBJECTS, *OBJECTS[:3], "r1", "r2", "r3")
    return [random.choice(names), random.choice(names), *([random.choice(DOMAINS)] if has_domain else [])]


def make_request(random: Random, case: Case) -> tuple[Any, ...]:
    """A request, often one that some row is about."""
    values: dict[str, Any] = {
        "sub": random.choice(case.subjects),
        "dom": random.choice(DOMAINS),
        "obj": random.choice(("/data1", "/data2", "/data/7", "data.", "it's")),
        "act": random.choice(("read", "write", "root")),
    }
    if case.rows and random.random() < 0.5:
        row = dict(zip(case.fields, random.choice(case.rows), strict=True))
        values |= {name: row[name] for name in case.request_fields if name != "sub" and random.random() < 0.8}
        if case.subjects[0] in SUBJECTS and random.random() < 0.5:
            values["sub"] = row["sub"]
    if random.random() < 0.01:
        values[random.choice(case.request_fields)] = random.choice((None, 3, True, Named.FIRST, Anyone(), ["x"]))
    request = tuple(values[name] for name in case.request_fields)
    return request[:-1] if random.random() < 0.005 else request


def _parts(random: Random, has_domain: bool, has_rule: bool, roles: list[str]) -> tuple[Part, ...]:
    domain = ", r.dom" if has_domain else ""
    subject = [Part("r.sub == p.sub", True), Part("keyMatch(r.sub, p.sub)"), Part('(p.sub == "*" || r.sub == p.sub)')]
    if has_rule:
        subject = [Part("eval(p.rule)"), Part('(p.sub == "*" || eval(p.rule))')]
    elif "g" in roles:
        role = f"g(r.sub, p.sub{domain})"
        subject = [Part(role, True)] * 3 + [Part(f"({role} || p.sub == '*')"), Part(f"!{role}")]
    things = [Part("r.obj == p.obj", True)] * 2
    things += [Part("keyMatch(r.obj, p.obj)"), Part("keyMatch2(r.obj, p.obj)"), Part('(p.obj == "*" || p.obj == r.obj)')]
    if "g2" in roles:
        things += [Part("g2(r.obj, p.obj)", True)] * 4
    actions = [Part("r.act == p.act", True)] * 4
    actions += [Part("regexMatch(r.act, p.act)"), Part("p.act in [r.act, '*']"), Part('p.act != "write"')]
    chosen = [random.choice(subject), random.choice(things), random.choice(actions)]
    if has_domain:
        chosen.append(random.choice([Part("r.dom == p.dom", True), Part('(p.dom == "d*" || r.dom == p.dom)')]))
    if random.random() < 0.1:
        oddities = ('"r.x!" != p.obj', "isLong(p.obj)", 'r.act != "a && b"', "1 == 1")
        chosen.append(Part(random.choice(oddities)))
    random.shuffle(chosen)
    return tuple(chosen)


Outcome = tuple[str, Any]


def outcome_of(ask: Callable[[], Any]) -> Outcome:
    """What a question leads to: `("answer", …)` or `("raises", the exception's class)`."""
    try:
        return "answer", ask()
    except Exception as error:
        return "raises", type(error)


def answer_without_excluded_rows(case: Case, request: tuple[Any, ...]) -> Outcome:
    """Stock's answer when a row that one of the quick conjuncts excludes is not tried further; row by row, by stock."""
    matcher = case.model.rpartition("m = ")[2]
    effector = case.enforcer(casbin.Enforcer).eft
    explaining, effects = None, set()
    for row in case.rows:
        matches = case.whole is not None and _alone(case, case.whole, row, request) == ("answer", True)
        if not matches:
            if any(_alone(case, part.text, row, request) == ("answer", False) for part in case.parts if part.is_quick):
                continue
            kind, value = _alone(case, matcher, row, request)
            if kind == "raises":
                return kind, value
            matches = value
        if not matches:
            continue
        explaining = row
        text = row[case.fields.index("eft")] if "eft" in case.fields else "allow"
        effects.add({"allow": Effector.ALLOW, "deny": Effector.DENY}.get(text, Effector.INDETERMINATE))
        if effector.intermediate_effect(effects) != Effector.INDETERMINATE:
            break
    return "answer", (effector.final_effect(effects) == Effector.ALLOW, explaining or [])


def _alone(case: Case, matcher: str, row: list[str], request: tuple[Any, ...]) -> Outcome:
    """What stock says of one matcher and one row."""
    model = re.sub(r"(?m)^e = .*$", f"e = {EFFECTS[0]}", case.model)
    model = re.sub(r"(?m)^m = .*$", lambda _: f"m = {matcher}", model)
    allowing = ["allow" if name == "eft" else value for name, value in zip(case.fields, row, strict=True)]
    single = replace(case, model=model, rows=[allowing])
    return outcome_of(lambda: single.enforcer(casbin.Enforcer).enforce(*request))
