"""Who can, what can: complete, and exact on conditions, compared with the decisions themselves on generated policies."""

import itertools
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import pytest
from generated_policies import IDS, SUBJECTS, Generated, generate
from generated_sets import asked_of
from policy_sets import Asked, policy_of

from klausel.core.analysis.permission import Question, given_values, question_in
from klausel.core.analysis.search import Found, holders_that_matter, what_can, who_can
from klausel.core.conditions import outcomes
from klausel.core.conditions.outcomes import Known, Outcome, TruthSpace, truth_space
from klausel.core.conditions.simplify import small_space
from klausel.core.conditions.tree import Atom, Attribute, Term, atoms, attributes_in, attributes_of, evaluate
from klausel.core.conditions.values import shown
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.difference.equivalence import everything_asked
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.request import Action, Request, Resource, Subject

SETS = 30
SETS_IN_A_TEST = 10
MOST_REQUESTS = 24
SOME_MORE = 5
NOTHING = given_values("", {})


def domains_of(policy: PolicySet) -> Iterator[str | None]:
    yield None
    found = [""]
    for level in policy.roles.levels:
        parts = [level.constant] if level.constant else IDS
        found = [f"{above}/{part}".lstrip("/") for above in found for part in parts]
        yield from found


def people_of(asked: Asked, question: Question) -> list[tuple[str, EffectiveRoles]]:
    """The holders that matter by definition, without a database."""
    holders = holders_that_matter(asked.policy.roles, question)
    return [
        (key, EffectiveRoles.of(asked.policy.roles, held))
        for key, held in sorted(asked.held.items())
        if any(
            (role, domain) in holders.exactly or (role in holders.anywhere and domain.startswith(holders.top + "/"))
            for role, domain in held
        )
    ]


def atoms_of(question: Question) -> list[Atom]:
    return [atom for grant in question.grants if grant.condition for atom in atoms(grant.condition)]


def random_requests_about(
    asked: Asked, generated: Generated, question: Question, domain: str | None, key: str
) -> Iterator[Request]:
    type_, id_ = split_subject_key(key) or ("", "")
    for request in generated.requests:
        properties = dict(request.resource.properties)
        resource_id = request.resource.id
        parts = (domain or "").split("/")
        for level, part in itertools.zip_longest(asked.policy.roles.levels, parts[: len(asked.policy.roles.levels)]):
            properties.pop(level.named_by, None)
            if level.named_by and part:
                properties[level.named_by] = part
            if level.identified_by == question.resource_type and part and not _asked_in(asked.policy, question):
                resource_id = part
        yield Request(
            request.subject._replace(type=type_, id=id_),
            request.action._replace(name=question.action),
            Resource(question.resource_type, resource_id, properties),
            request.context,
        )


@lru_cache(1000)
def space_of(all_atoms: tuple[Atom, ...]) -> TruthSpace | None:
    # Where there are more, random requests alone are asked about; it takes long to find that there are 200,000.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcomes, "MOST_CASES", 20_000)
        return small_space(all_atoms)


_OUTCOMES: dict[tuple[tuple[Atom, ...], str], tuple[Outcome, ...]] = {}


def outcomes_of(all_atoms: tuple[Atom, ...], known: Known) -> tuple[Outcome, ...]:
    """The first ways in which comparisons turn out; subjects and domains that no comparison reads share them."""
    read = {attribute for atom in all_atoms for attribute in attributes_of(atom)}
    # Known values may be objects, which no dictionary takes as keys.
    key = all_atoms, repr([(name, values) for name, values in known.items() if name in read])
    if key not in _OUTCOMES:
        if len(_OUTCOMES) > 1_000:
            _OUTCOMES.clear()
        _OUTCOMES[key] = tuple(truth_space(all_atoms, known).outcomes[:MOST_REQUESTS])
    return _OUTCOMES[key]


def requests_about(asked: Asked, question: Question, domain: str | None, key: str, given: Request) -> Iterator[Request]:
    """A request for each way in which the conditions about a question can turn out for a subject."""
    all_atoms = tuple(atoms_of(question))
    if space_of(all_atoms) is None:
        return
    type_, id_ = split_subject_key(key) or ("", "")
    known = {**question.known, Attribute("subject", ("type",)): (type_,), Attribute("subject", ("id",)): (id_,)}
    for outcome in outcomes_of(all_atoms, known):
        properties: dict[str, dict[str, object]] = {"subject": {}, "resource": {}, "action": {}, "context": {}}
        for entity in ("subject", "resource", "action"):
            properties[entity].update(getattr(given, entity).properties)
        properties["context"].update(given.context)
        for level, part in zip(asked.policy.roles.levels, (domain or "").split("/"), strict=False):
            if level.named_by and part:
                properties["resource"][level.named_by] = part
        resource_id = "some"
        for attribute, value in map(as_sent, *zip(*outcome.values.items(), strict=True)) if outcome.values else ():
            if attribute == Attribute("resource", ("id",)):
                resource_id = str(value)
            elif attribute.path not in (("id",), ("type",), ("name",)):
                holder = properties[attribute.root]
                for part in attribute.path[:-1]:
                    inner = holder.setdefault(part, {})
                    holder = inner if isinstance(inner, dict) else {}
                holder.setdefault(attribute.path[-1], value)
        for level, part in zip(asked.policy.roles.levels, (domain or "").split("/"), strict=False):
            if level.identified_by == question.resource_type and part and not _asked_in(asked.policy, question):
                resource_id = part
        yield Request(
            Subject(type_, id_, properties["subject"]),
            Action(question.action, properties["action"]),
            Resource(question.resource_type, resource_id, properties["resource"]),
            properties["context"],
        )


def as_sent(term: Term, value: object) -> tuple[Attribute, object]:
    """An attribute and its value in a request, for a value that is computed from it alone."""
    if isinstance(term, Attribute):
        return term, value
    assert term.function == "time", "generated policies compute nothing else"
    (attribute,) = attributes_in(term)
    return attribute, shown(value)


def _asked_in(policy: PolicySet, question: Question) -> bool:
    return question.action in policy.resource_types[question.resource_type].asked_in


def said(found: Found | None, request: Request) -> bool:
    if found is None or found.verdict == "never":
        return False
    return found.condition is None or evaluate(found.condition, request) is True


def check(asked: Asked, generated: Generated, question: Question, domain: str | None, given: Request) -> int:
    found = {one.subject: one for one in who_can(asked.policy.roles, question, people_of(asked, question))}
    space = space_of(tuple(atoms_of(question)))
    is_tight = space is not None and not space.has_free_matches
    asked_about = 0
    for key in SUBJECTS:
        answer = found.get(key, found.get("anyone"))
        decided = set()
        made = list(islice(requests_about(asked, question, domain, key, given), MOST_REQUESTS))
        random = random_requests_about(asked, generated, question, domain, key) if given == NOTHING else []
        for request in [*made, *random]:
            allowed = asked.allows(request)
            assert said(answer, request) is allowed, f"{key}: {answer}\nbut {allowed} for {request}\n{generated}"
            decided.add(allowed)
            asked_about += 1
        if key in found and found[key].verdict == "when" and is_tight and len(made) < MOST_REQUESTS:
            assert decided == {True, False}, f"{found[key]} is always {decided}\n{generated}"
    return asked_about


@pytest.mark.parametrize("first", range(0, SETS, SETS_IN_A_TEST))
def test_exactly_those_are_found_who_may_and_their_conditions_are_exact(first: int) -> None:
    asked_about = 0
    for seed in range(first, first + SETS_IN_A_TEST):
        generated = generate(seed, requests=SOME_MORE)
        asked = asked_of(generated)
        if asked is None:
            continue
        givens = [NOTHING]
        for request in generated.requests[:1]:
            known = {
                name: value for name, value in request.resource.properties.items() if name in ("owner", "count", "deep")
            }
            givens.append(given_values("", {"resource": known, "subject": request.subject.properties}))
        for type_, action in everything_asked(asked.policy):
            for domain in domains_of(asked.policy):
                for given in givens:
                    question = question_in(asked.policy, type_, action, domain, given)
                    if isinstance(question, Question):
                        asked_about += check(asked, generated, question, domain, given)
    assert asked_about > 1_000


@pytest.mark.parametrize("seed", range(0, SETS, SETS_IN_A_TEST))
def test_what_can_says_of_each_subject_what_who_can_says_of_each_question(seed: int) -> None:
    generated = generate(seed, requests=0)
    asked = asked_of(generated)
    if asked is None:
        pytest.skip("the generated set contradicts itself")
    for domain in domains_of(asked.policy):
        for key in SUBJECTS:
            effective_roles = EffectiveRoles.of(asked.policy.roles, asked.held[key])
            listed = {
                (found.resource_type, found.action): found
                for found in what_can(asked.policy, key, effective_roles, domain, NOTHING)
            }
            for type_, action in everything_asked(asked.policy):
                question = question_in(asked.policy, type_, action, domain)
                if not isinstance(question, Question):
                    continue
                permission = question.permission(effective_roles.roles_in(question.domain), split_subject_key(key))
                found = listed.get((type_, action))
                assert (found.verdict if found else "never") == permission.verdict
                assert (found.condition if found else None) == permission.condition


ROLES_OF_A_HOUSE = "levels: {house: {named_by: house}}\nroles: {guest: {level: house}}\n"


@pytest.mark.parametrize(
    "condition",
    [
        'subject.id == "ann"',
        'subject.id in ["ann", "cy"]',
        'starts_with(subject.id, "a")',
        'matches_glob(subject.id, "a*")',
        'resource.owner == subject.id and resource.owner != "ann"',
        "resource.owner == subject.id and resource.house == resource.owner",
        "resource.keeper == subject.id",
        "resource.house == subject.id",
        "subject.id == subject.type",
        "resource.owner == subject.id",
    ],
)
def test_whoever_is_asked_about_first_what_is_said_of_each_is_the_same(condition: str) -> None:
    feature = "resource_types: {door: {actions: [open]}}\ngrants:\n"
    feature += f"  - {{allow: guest, to: open, resource: door, when: '{condition}'}}\n"
    policy = policy_of({"roles.yaml": ROLES_OF_A_HOUSE, "features/doors.yaml": feature})
    given = given_values("", {"resource": {"keeper": "bob"}})
    subjects = [("user", "ann"), ("user", "bob"), ("user", "cy"), ("user", "mill"), ("user", "user"), ("robot", "ann")]

    def question() -> Question:
        found = question_in(policy, "door", "open", "mill", given)
        assert isinstance(found, Question)
        return found

    expected = {subject: question().permission({"guest"}, subject) for subject in subjects}
    for first_three in itertools.permutations(subjects, 3):
        asked = question()
        order = [*first_three, *(subject for subject in subjects if subject not in first_three)]
        assert {subject: asked.permission({"guest"}, subject) for subject in order} == expected
