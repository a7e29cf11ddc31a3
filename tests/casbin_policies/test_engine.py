"""The enforcer over a whole policy set: every grant has its row, at its place."""

from __future__ import annotations

from pathlib import Path
from random import Random

from klausel.casbin_policies.engine import compile_policy
from klausel.core.loading.cache import LoadCache
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Action, Request, Resource, Subject

MODEL = (Path(__file__).parents[2] / "model.conf").read_text()
POLICIES = Path(__file__).parents[2] / "policies"
ROLES = "levels: {site: {constant: main}}\nroles: {reader: {level: site}, writer: {level: site}}\n"


def policy_with(grants: str) -> PolicySet:
    files = {"roles.yaml": ROLES, "features/pages.yaml": grants}
    return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).or_raise()


def asked_by(role: str, action: str) -> Request:
    return Request(Subject("user", "x", {}, frozenset({role})), Action(action), Resource("page", "1"))


def test_a_repeated_grant_does_not_move_the_places_of_those_behind_it() -> None:
    policy = policy_with("""
resource_types: {page: {actions: [read, write]}}
grants:
  - {allow: reader, to: read, resource: page}
  - {allow: reader, to: read, resource: page}
  - {allow: writer, to: write, resource: page}
""")
    allowed, position = compile_policy(policy, MODEL).decide(asked_by("writer", "write"), "main")
    assert allowed
    assert position == 2
    assert policy.grants[position].grantee == "writer"


def test_a_policy_set_compiled_from_an_earlier_one_decides_as_one_compiled_afresh() -> None:
    chance, cache, compiled, taken = Random(3), LoadCache(), None, 0
    texts = {path.relative_to(POLICIES).as_posix(): path.read_text() for path in POLICIES.rglob("*.yaml")}
    texts = {name: text for name, text in texts.items() if not name.startswith("tests/")}
    feature, places = "features/quizzes.yaml", ("", "acme", "*/support", "acme/*")
    for _ in range(25):
        added = "".join(
            f"  - {{{chance.choice(('allow', 'deny'))}: {chance.choice(('agent', 'lead', 'user'))}, to: create, "
            f"resource: quiz{place and f', in: {place!r}'}}}\n"
            for place in chance.choices(places, k=chance.randrange(4))
        )
        files = texts | {feature: texts[feature].rstrip("\n") + "\n" + added}
        result = load_policy((SourceFile(name, name, text.encode()) for name, text in files.items()), (), cache)
        if result.policy is None:
            continue
        policy, taken = result.policy, taken + 1
        compiled, fresh = compile_policy(policy, MODEL, earlier=compiled), compile_policy(policy, MODEL)
        assert compiled.enforcer.get_policy() == fresh.enforcer.get_policy()
        assert compiled.enforcer.model["p"]["p"].policy_map == fresh.enforcer.model["p"]["p"].policy_map
        assert compiled.meaning_digest == fresh.meaning_digest
        for question in policy.questions:
            for role in ("agent", "lead", "user", "admin"):
                for domain in ("acme", "acme/support", "other/support"):
                    request = asked_by(role, question[1])._replace(resource=Resource(question[0], "1"))
                    assert compiled.decide(request, domain) == fresh.decide(request, domain)
    assert taken > 15
