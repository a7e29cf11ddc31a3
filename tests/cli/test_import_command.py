"""`klausel import casbin`: the folder decides what stock Casbin decides, and what cannot be carried over is named."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path

import casbin
import pytest
from command_line import Klausel

from klausel.client import Question, Resource
from klausel.in_process import open_policies

ALLOW = "some(where (p.eft == allow))"
DENY = "some(where (p.eft == allow)) && !some(where (p.eft == deny))"


def model(
    request: str = "sub, obj, act",
    policy: str | None = None,
    roles: str | None = "_, _",
    effect: str = ALLOW,
    matcher: str = "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act",
) -> str:
    role_lines = "" if roles is None else f"[role_definition]\ng = {roles}\n\n"
    return (
        f"[request_definition]\nr = {request}\n\n[policy_definition]\np = {policy or request}\n\n{role_lines}"
        f"[policy_effect]\ne = {effect}\n\n[matchers]\nm = {matcher}\n"
    )


BASIC = model(roles=None, matcher="r.sub == p.sub && r.obj == p.obj && r.act == p.act")
RBAC = model()
RBAC_DENY = model(policy="sub, obj, act, eft", effect=DENY)
DOMAINS = model(
    "sub, dom, obj, act",
    roles="_, _, _",
    matcher="g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act",
)
TENANTS = model(
    "tenant, sub, act, obj",
    "eft, sub, obj, act, tenant",
    roles="_,_,_",
    effect=DENY,
    matcher="p.tenant==r.tenant && g(r.sub,p.sub,r.tenant) && r.act == p.act && \\\n r.obj == p.obj",
)

EXAMPLES = {
    "basic": (BASIC, "p, alice, data1, read\np, bob, data2, write\n"),
    "rbac": (
        RBAC,
        "p, alice, data1, read\np, bob, data2, write\np, data2_admin, data2, read\np, data2_admin, data2, write\n"
        "\n# Who is what.\ng, alice, data2_admin\r\n",
    ),
    "rbac with hierarchy": (
        RBAC,
        "p, alice, data1, read\np, data1_admin, data1, write\np, data2_admin, data2, read\n"
        "g, alice, admin\ng, admin, data1_admin\ng, admin, data2_admin\ng, bob, alice\n",
    ),
    "rbac with deny": (
        RBAC_DENY,
        "p, alice, data1, read, allow\np, data2_admin, data2, read, allow\np, data2_admin, data2, write, allow\n"
        "p, alice, data2, write, deny\ng, alice, data2_admin\ng, bob, data2_admin\n",
    ),
    "rbac with domains": (
        DOMAINS,
        "p, admin, domain1, data1, read\np, admin, domain1, data1, write\np, admin, domain2, data2, read\n"
        "p, admin, domain2, data2, write\ng, alice, admin, domain1\ng, bob, admin, domain2\n",
    ),
    "rbac with hierarchy with domains": (
        DOMAINS,
        "p, role:reader, domain1, data1, read\np, role:writer, domain1, data1, write\np, carl, domain2, data1, read\n"
        "g, role:global_admin, role:reader, domain1\ng, role:global_admin, role:writer, domain1\n"
        "g, alice, role:global_admin, domain1\n",
    ),
    "tenants in another order, with deny": (
        TENANTS,
        "p, allow, editor, page, edit, acme\np, deny, intern, page, edit, acme\np, allow, editor, page, edit, globex\n"
        "g, ann, editor, acme\ng, ann, intern, acme\ng, ben, editor, acme\ng, ann, editor, globex\n",
    ),
    "names that YAML reads as something else": (RBAC, "p, no, null, yes\np, e1, true, off\ng, 007, no\ng, ünal, e1\n"),
}


def write(folder: Path, model_text: str, policy: str) -> tuple[Path, Path]:
    (folder / "stock.conf").write_text(model_text, encoding="utf-8")
    (folder / "stock.csv").write_bytes(policy.encode())
    return folder / "stock.conf", folder / "stock.csv"


def compare(klausel: Klausel, folder: Path, model_text: str, policy: str) -> int:
    """Imports a set, starts an engine on what came out, and asks it and stock Casbin everything; how many questions."""
    files = write(folder, model_text, policy)
    made, database = folder / "made", f"sqlite:///{folder}/made.db"
    result = klausel("import", "casbin", *files, "--to", made)
    assert result.exit_code == 0, result.output
    assert klausel("check", made).exit_code == 0
    assert klausel("fmt", "--check", made).exit_code == 0
    for rows in sorted((made / "demo").iterdir()):
        if rows.read_text().count("\n") > 1:
            done = klausel("assignments", "import", rows, "--policies", made, "--database", database)
            assert done.exit_code == 0, done.output
    stock = casbin.Enforcer(str(files[0]), str(files[1]))
    order = [name.removeprefix("r_") for name in stock.model["r"]["r"].tokens]
    of_domain = next((name for name in order if name not in ("sub", "obj", "act")), "nothing")
    lines = [re.split(r"\s*,\s*", line.strip()) for line in policy.split("\n") if line.strip() and line[0] != "#"]
    fields = [name.removeprefix("p_") for name in stock.model["p"]["p"].tokens]
    values: dict[str, set[str]] = {name: {"nobody-knows"} for name in order}
    for key, *row in lines:
        if key == "g":
            values["sub"] |= set(row[:2])
            values.get(of_domain, set()).update(row[2:])
        else:
            for name, value in zip(fields, row, strict=True):
                values.get(name, set()).add(value)
    asked = list(itertools.product(*(sorted(values[name]) for name in order)))
    with open_policies(made, database=database, follows=False) as engine:
        questions = []
        for one in asked:
            named = dict(zip(order, one, strict=True))
            properties = {of_domain: named[of_domain]} if of_domain in named else {}
            questions.append(Question(f"user:{named['sub']}", named["act"], Resource(named["obj"], "1", properties)))
        ours = [
            bool(one) for start in range(0, len(asked), 100) for one in engine.evaluations(questions[start : start + 100])
        ]
    theirs = [stock.enforce(*one) for one in asked]
    assert [(one, us) for one, us in zip(asked, ours, strict=True)] == list(zip(asked, theirs, strict=True))
    assert f"decide all {len(asked):,} questions alike" in result.stdout
    return len(asked)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_folder_decides_what_stock_casbin_decides(klausel: Klausel, tmp_path: Path, name: str) -> None:
    assert compare(klausel, tmp_path, *EXAMPLES[name]) >= 18


@pytest.mark.parametrize("seed", range(6))
def test_made_up_sets_are_decided_alike(klausel: Klausel, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    people, roles, domains = ["ann", "ben", "cy"], ["r1", "r2", "r3"], ["d1", "d2"]
    rows = {
        f"p, {chance.choice(['allow', 'deny'])}, {chance.choice(people + roles)}, {thing}, {act}, {domain}"
        for thing, act, domain in itertools.product(["page", "file"], ["see", "edit"], domains)
        for _ in range(2)
        if chance.random() < 0.7
    }
    bare = {re.sub("allow|deny", "", row): row for row in sorted(rows)}
    links = {f"g, {chance.choice(people)}, {chance.choice(roles)}, {chance.choice(domains)}" for _ in range(5)}
    # Roles have each other alike in all domains.
    links |= {f"g, r1, {other}, {domain}" for other in chance.sample(roles[1:], 1) for domain in domains}
    compare(klausel, tmp_path, TENANTS, "\n".join([*bare.values(), *sorted(links)]))


def test_it_writes_the_files_and_says_which(klausel: Klausel, tmp_path: Path) -> None:
    result = klausel("import", "casbin", *write(tmp_path, *EXAMPLES["rbac with hierarchy with domains"]), "--to", "made")
    names = ["roles.yaml", "features/imported.yaml", "demo/assignments.csv", "demo/role_names.csv"]
    assert result.stdout.splitlines()[:4] == [f"made/{name}" for name in names]
    assert sorted(str(path.relative_to("made")) for path in Path("made").rglob("*") if path.is_file()) == sorted(names)
    assert Path("made/demo/assignments.csv").read_text() == (
        "subject,role,domain\nuser:alice,role_global_admin,domain1\nuser:carl,carl,domain2\n"
    )
    assert 'the role "role:reader" is called role_reader here' in result.stderr
    assert "made/demo/role_names.csv: only for applications that ask with such a name" in result.stderr


FAULTY_MODELS = {
    "a function": (
        model(matcher="g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act"),
        [(14, "keyMatch(r.obj, p.obj) has no counterpart")],
    ),
    "a superuser": (
        model(matcher='g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act || r.sub == "root"'),
        [(14, 'r.act == p.act || r.sub == "root" has no counterpart')],
    ),
    "a list": (
        model(matcher="g(r.sub, p.sub) && r.obj == p.obj && r.act   in p_act"),
        [(14, "r.act in p.act has no counterpart")],
    ),
    "a part turned round that is not asked for": (
        model(matcher="p.sub == r.sub && r.obj == p.obj && r.act == p.act"),
        [(14, "r.sub==p.sub has no counterpart")],
    ),
    "a part is missing": (model(matcher="g(r.sub, p.sub) && r.obj == p.obj"), [(14, "does not ask for r.act==p.act")]),
    "roles that are not asked for": (
        model(matcher="r.sub == p.sub && r.obj == p.obj && r.act == p.act"),
        [(14, "r.sub == p.sub")],
    ),
    "priority": (model(effect="priority(p.eft) || deny"), [(11, "this effect has no counterpart")]),
    "allowed unless denied": (model(effect="!some(where (p.eft == deny))"), [(11, "this effect has no counterpart")]),
    "roles with domains and requests without": (model(roles="_, _, _"), [(8, "it must be g = _, _")]),
    "another request": (model(request="sub, age, place, obj, act"), [(2, "a request must be sub, obj, act")]),
    "a field of rows": (model(policy="sub, obj, act, priority"), [(5, "a p row must have the fields of a request")]),
    "two kinds of roles": (
        model().replace("g = _, _\n", "g = _, _\ng2 = _, _\n"),
        [(9, '"g2" has no counterpart')],
    ),
    "no model": ("hello\n", [(0, "cannot read this model")]),
}
P = "p, admin, data1, read\n"
FAULTY_POLICIES = {
    "too few fields": (RBAC, P + "p, admin, data1\n", [(2, "a p row has 3 fields in this model, this one has 2")]),
    "a g row with a domain": (RBAC, P + "g, ann, admin, d1\n", [(2, "a g row has 2 fields in this model, this one has 3")]),
    "rows that Casbin ignores": (RBAC, P + "p2, admin, x, y\nadmin\n", [(2, 'no "p2"'), (3, 'no "admin"')]),
    "a parenthesis": (RBAC, P + "p, a), x, y\n", [(2, "Casbin cannot read this line")]),
    "an empty field": (RBAC, P + "p, admin, , read\n", [(2, "a field is empty")]),
    "quotation marks": (RBAC, P + 'p, "ann", data1, read\n', [(2, "quotation marks")]),
    "a path and a star": (
        RBAC,
        "p, admin, /data/*, GET\np, admin, data, *\n",
        [(1, 'the object "/data/*"'), (2, 'the action "*"')],
    ),
    "a domain that is no id": (DOMAINS, "p, admin, a/b, data, read\ng, ann, admin, *\n", [(1, '"a/b"'), (2, '"*"')]),
    "an effect that is neither": (RBAC_DENY, "p, admin, data, read, perhaps\n", [(1, 'the effect "perhaps"')]),
    "a deny that denies nothing": (
        model(policy="sub, obj, act, eft"),
        "p, admin, data, read, allow\np, ann, data, read, deny\n",
        [(2, "this deny denies nothing")],
    ),
    "allowed and denied": (
        RBAC_DENY,
        "p, admin, data, read, allow\np, admin, data, read, deny\n",
        [(2, "this row and an earlier one allow and deny the same")],
    ),
    "two roles of one name": (RBAC, "p, a:b, data, read\np, a_b, data, read\n", [(2, "would both be the role a_b")]),
    "a role that cannot be named": (RBAC, "p, 7up, data, read\n", [(1, '"7up" cannot name a role')]),
    "itself": (RBAC, P + "g, admin, admin\n", [(2, "has itself")]),
    "a role with another in one domain alone": (
        DOMAINS,
        "p, low, d1, data, read\np, low, d2, data, read\ng, high, low, d1\ng, ann, high, d1\ng, ben, high, d2\n",
        [(3, '"high" has "low" in d1 but not in d2')],
    ),
    "a circle": (RBAC, P + "g, admin, b\ng, b, admin\n", [(0, "what it would become is refused")]),
    "a chain that Casbin cuts": (
        RBAC,
        "p, r9, data, read\n" + "".join(f"g, r{n}, r{n + 1}\n" for n in range(9)) + "g, ann, r0\n",
        [(0, "Casbin says denied, the folder would say allowed")],
    ),
    "nothing": (RBAC, "# Later.\n", [(0, "there is no p row")]),
}
FAULTY = [
    *(pytest.param(text, P, "stock.conf", found, id=name) for name, (text, found) in FAULTY_MODELS.items()),
    *(pytest.param(text, rows, "stock.csv", found, id=name) for name, (text, rows, found) in FAULTY_POLICIES.items()),
]


@pytest.mark.parametrize(("model_text", "policy", "file", "found"), FAULTY)
def test_what_cannot_be_carried_over_is_named_and_nothing_is_written(
    klausel: Klausel, tmp_path: Path, model_text: str, policy: str, file: str, found: list[tuple[int, str]]
) -> None:
    result = klausel("import", "casbin", *write(tmp_path, model_text, policy), "--to", "made")
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[-1] == "nothing was written"
    assert not Path("made").exists()
    for line, message in found:
        start = f"{tmp_path / file}:{line}: " if line else f"{tmp_path / file}: "
        assert [one for one in lines if one.startswith(start) and message in one], result.stderr


HOSTILE = "ev\x1b[31m\x9b2J\u202ee\r"


@pytest.mark.parametrize(
    ("model_text", "policy"),
    [
        (RBAC, P + f"g, {HOSTILE}x, admin\n"),
        (RBAC, P + f"p, {HOSTILE}x, {HOSTILE}x, {HOSTILE}x\n{HOSTILE}x\n"),
        (DOMAINS, f"p, admin, {HOSTILE}x, data, read\n"),
        (model(matcher=f"g(r.sub, p.sub) && {HOSTILE}x"), P),
        (DOMAINS.replace("dom", "d\x9bm"), "p, admin, d1, data, read\n"),
    ],
)
def test_signs_that_a_terminal_obeys_are_refused_and_shown_as_what_they_are(
    klausel: Klausel, tmp_path: Path, model_text: str, policy: str
) -> None:
    result = klausel("import", "casbin", *write(tmp_path, model_text, policy), "--to", "made")
    assert result.exit_code == 1
    assert all(line.isprintable() for line in result.output.split("\n"))
    assert not Path("made").exists()


@pytest.mark.parametrize("name", ["stock.conf", "stock.csv"])
def test_a_file_that_is_not_utf_8_is_refused(klausel: Klausel, tmp_path: Path, name: str) -> None:
    files = write(tmp_path, *EXAMPLES["rbac"])
    (tmp_path / name).write_bytes(b"p, \xff, data, read\n")
    result = klausel("import", "casbin", *files, "--to", "made")
    assert result.exit_code == 1
    assert "not UTF-8" in result.stderr
    assert not Path("made").exists()


def test_it_writes_into_an_empty_folder_alone(klausel: Klausel, tmp_path: Path) -> None:
    files = write(tmp_path, *EXAMPLES["rbac"])
    before = {path: path.read_bytes() for path in Path("policies").rglob("*") if path.is_file()}
    result = klausel("import", "casbin", *files, "--to", "policies")
    assert result.exit_code != 0
    assert "policies is not empty" in result.stderr
    assert {path: path.read_bytes() for path in Path("policies").rglob("*") if path.is_file()} == before
