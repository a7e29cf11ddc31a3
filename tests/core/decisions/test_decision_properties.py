"""What holds for every policy set, every person and every request."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from generated_policies import Generated, generate
from generated_sets import asked_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_sets import Asked

from klausel.core.policy.policy_set import Grant
from klausel.core.policy.scope import Scope
from klausel.core.terms.problem import Place
from klausel.core.terms.request import Action, Request, Resource, Subject

GENERATED = st.integers(0, 2**32 - 1).map(lambda seed: generate(seed, requests=12))
few_examples = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def with_grants(asked: Asked, grants: Iterable[Grant]) -> Asked:
    return Asked(replace(asked.policy, grants=tuple(grants)), asked.held)


def answers(asked: Asked | None, generated: Generated) -> list[bool]:
    return [asked.allows(request) for request in generated.requests] if asked else []


def deny_everyone(request: Request) -> Grant:
    type_, action = request.resource.type, request.action.name
    return Grant("deny", "anyone", action, type_, Scope(), None, "", "", Place("features/deny.yaml", 1, 1))


@few_examples
@given(GENERATED)
def test_without_an_allow_everything_is_denied(generated: Generated) -> None:
    asked = asked_of(generated)
    if asked:
        denies = [grant for grant in asked.policy.grants if grant.effect == "deny"]
        if denies:
            assert not any(answers(with_grants(asked, denies), generated))


def test_a_policy_set_without_grants_denies_everything() -> None:
    generated = generate(1)
    asked = asked_of(generated)
    assert not any(answers(asked and with_grants(asked, []), generated))


@few_examples
@given(GENERATED, st.text(max_size=8), st.text(max_size=8))
def test_what_no_file_declares_is_denied(generated: Generated, type_: str, action: str) -> None:
    asked = asked_of(generated)
    if asked:
        listed = {(grant.resource_type, grant.action) for grant in asked.policy.grants}
        for request in generated.requests:
            for name, done in ((type_, request.action.name), (request.resource.type, action), (type_, action)):
                if (name, done) not in listed:
                    other = request._replace(resource=request.resource._replace(type=name), action=Action(done))
                    assert not asked.allows(other)


@few_examples
@given(GENERATED)
def test_a_deny_beats_every_allow(generated: Generated) -> None:
    asked = asked_of(generated)
    if asked:
        allowed = [request for request in generated.requests if asked.allows(request)]
        for request in allowed[:2]:
            assert not with_grants(asked, [*asked.policy.grants, deny_everyone(request)]).allows(request)
            assert not with_grants(asked, [deny_everyone(request), *asked.policy.grants]).allows(request)


@few_examples
@given(GENERATED, st.integers(0, 11))
def test_another_deny_never_allows_and_another_allow_never_denies(generated: Generated, position: int) -> None:
    asked = asked_of(generated)
    if asked:
        grants = asked.policy.grants
        position %= len(grants)
        without = with_grants(asked, grants[:position] + grants[position + 1 :])
        for before, after in zip(answers(without, generated), answers(asked, generated), strict=True):
            assert before == after or after is (grants[position].effect == "allow")


@few_examples
@given(GENERATED, st.integers())
def test_order_and_repetition_of_grants_do_not_matter(generated: Generated, seed: int) -> None:
    asked = asked_of(generated)
    if asked:
        random = Random(seed)
        grants = [*asked.policy.grants, *random.choices(asked.policy.grants, k=4)]
        random.shuffle(grants)
        assert answers(with_grants(asked, grants), generated) == answers(asked, generated)


@few_examples
@given(GENERATED, st.integers())
def test_order_and_repetition_of_role_assignments_do_not_matter(generated: Generated, seed: int) -> None:
    asked = asked_of(generated)
    if asked:
        random = Random(seed)
        assignments = generated.assignments * 2
        random.shuffle(assignments)
        other = asked_of(generated._replace(assignments=assignments))
        assert answers(other, generated) == answers(asked, generated)


@few_examples
@given(GENERATED)
def test_without_a_deny_another_role_assignment_takes_nothing_away(generated: Generated) -> None:
    asked = asked_of(generated)
    if asked:
        allows = [grant for grant in asked.policy.grants if grant.effect == "allow"]
        everybody = answers(with_grants(asked, allows), generated)
        fewer = {key: pairs[1:] for key, pairs in asked.held.items()}
        for less, more in zip(
            answers(Asked(replace(asked.policy, grants=tuple(allows)), fewer), generated), everybody, strict=True
        ):
            assert more or not less


@few_examples
@given(GENERATED, st.text(), st.text())
def test_deciding_never_raises_and_answers_the_same_twice(generated: Generated, type_: str, id_: str) -> None:
    asked = asked_of(generated)
    if asked:
        for request in generated.requests:
            properties = {**request.resource.properties, "team": id_}
            odd = request._replace(subject=Subject(type_, id_), resource=Resource(request.resource.type, id_, properties))
            assert asked.allows(odd) is asked.allows(odd)
