"""The values that are shown for an outcome make patterns and networks turn out so, and look like what people write."""

from __future__ import annotations

from random import Random

import pytest
from policy_sets import policy_of

from klausel.core.analysis.proof import prove_all
from klausel.core.conditions.outcomes import truth_space
from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.tree import Atom, Attribute, atoms, evaluate_atom
from klausel.core.terms.request import Action, Request, Resource, Subject

ABOUT_A_TEXT = (
    'starts_with(resource.a, "x")', 'starts_with(resource.a, "x1")', 'ends_with(resource.a, "/y")',
    'matches_glob(resource.a, "*-secret")', 'matches_glob(resource.a, "?*.com")', 'matches_glob(resource.a, "*")',
    'matches_path(resource.a, "/teams/**/files/*")', 'matches_path(resource.a, "*/**")',
    'resource.a in ["x1-secret", "x1", "a.com"]', 'resource.a == "/teams/files/x1"', "has resource.a",
    "resource.a == resource.b", 'ends_with(resource.b, "y")',
)  # fmt: skip
ABOUT_AN_ADDRESS = (
    'in_network(resource.a, "10.0.0.0/8")', 'in_network(resource.a, "10.1.0.0/16")', 'in_network(resource.a, "::/0")',
    'in_network(resource.a, ["192.168.0.0/16", "10.1.2.0/24"])', 'resource.a == "10.0.0.0"', "resource.a == resource.b",
)  # fmt: skip


def atoms_of(texts: list[str]) -> list[Atom]:
    return [atom for text in texts for atom in atoms(parse_condition(text, lambda _: None, {}))]


@pytest.mark.parametrize("texts", [ABOUT_A_TEXT, ABOUT_AN_ADDRESS])
def test_a_request_with_the_values_of_an_outcome_turns_out_so(texts: tuple[str, ...]) -> None:
    for seed in range(20):
        random = Random(seed)
        space = truth_space(atoms_of(random.sample(texts, random.randint(1, 4))))
        for outcome in space.outcomes:
            values = {str(term.path[0]): value for term, value in outcome.values.items() if isinstance(term, Attribute)}
            request = Request(Subject("user", "ann"), Action("view"), Resource("doc", "d", values), {})
            found = tuple(evaluate_atom(atom, request) for atom in space.atoms)
            assert found == outcome.truths, (list(map(str, space.atoms)), values)


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ('matches_glob(resource.a, "*-secret")', "x1-secret"),
        ('starts_with(resource.a, "draft-")', "draft-x1"),
        ('ends_with(resource.a, "@example.com")', "x1@example.com"),
        ('matches_path(resource.a, "/teams/*/files/**")', "/teams/x1/files/x1"),
        ('in_network(resource.a, "10.20.0.0/16") and not in_network(resource.a, "10.20.0.0/24")', "10.20.1.0"),
        ('matches_glob(resource.a, "*@*") and resource.a == resource.b', "x1@x1"),
    ],
)
def test_a_counterexample_is_one_that_somebody_could_send(condition: str, shown: str) -> None:
    policy = policy_of(
        {
            "roles.yaml": "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n",
            "features/notes.yaml": "resource_types:\n  note: {actions: [read], properties: {a: text, b: text}}\n"
            f"grants:\n  - {{allow: editor, to: read, resource: note, when: '{condition}'}}\n",
            "invariants.yaml": "invariants:\n  - never: anyone\n    to: read\n    resource: note\n",
        }
    )
    (verdict,) = prove_all(policy)
    assert verdict.counterexample is not None
    assert dict(verdict.counterexample.values)["resource.a"] == shown
