"""What tests of the difference compare it with: plain decisions on both sides, and requests made from its examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from policy_sets import Asked

from klausel.core.analysis.decision_table import Question, View, shown_values
from klausel.core.analysis.question_space import Held
from klausel.core.conditions.tree import CONTEXT_NOW
from klausel.core.conditions.values import read_time
from klausel.core.difference.compare import Change, Example, PolicyDifference, difference_between
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Action, Request, Resource, Subject

SUBJECT = Subject("user", "somebody")


def flip_by_deciding(before: PolicySet, after: PolicySet, held: Iterable[tuple[str, str]], request: Request) -> bool | None:
    """The oracle: the request decided on both sides."""
    key = f"{request.subject.type}:{request.subject.id}"
    was, is_ = (_asked(policy, key, tuple(held)).allows(request) for policy in (before, after))
    return None if was == is_ else is_


_compiled: dict[int, tuple[PolicySet, Asked]] = {}


def _asked(policy: PolicySet, subject: str, held: Held) -> Asked:
    if id(policy) not in _compiled:
        _compiled[id(policy)] = policy, Asked(policy)
    asked = Asked(policy, {subject: held})
    asked.__dict__["compiled"] = _compiled[id(policy)][1].compiled
    return asked


def request_of(question: Question, values: Mapping[str, object]) -> Request:
    """A request about a question with these attributes, given by their names in conditions."""
    entities: dict[str, dict[str, object]] = {"subject": {}, "resource": {}, "action": {}, "context": {}}
    for name, value in values.items():
        name = name.removeprefix("time(").removesuffix(")")  # a property that is read as a time is sent as a text
        root, _, rest = name.partition(".") if "[" not in name.split(".")[0] else name.partition("[")
        parts = [rest.rstrip("]").strip('"')] if "[" in name else rest.split(".")
        node = entities[root]
        for part in parts[:-1]:
            node = node.setdefault(part, {})  # type: ignore[assignment]
        node[parts[-1]] = read_time(value) if name == str(CONTEXT_NOW) else value
    subject, resource = entities["subject"], entities["resource"]
    return Request(
        Subject(str(subject.pop("type", SUBJECT.type)), str(subject.pop("id", SUBJECT.id)), subject),
        Action(question[1], entities["action"]),
        Resource(question[0], str(resource.pop("id", "") or ""), {k: v for k, v in resource.items() if v is not None}),
        entities["context"],
    )


def cases_of(view: View, question: Question, outcomes: int) -> Iterator[Request]:
    """A request for each of some outcomes of a view, given as bits."""
    for position, outcome in enumerate(view.space.outcomes):
        if outcomes >> position & 1:
            known = {str(name): values[0] for name, values in view.placement.known.items() if values[0] is not None}
            for name in ("resource.type", "action.name"):
                known.pop(name, None)
            yield request_of(question, {**known, **dict(shown_values(outcome))})


def example_is_real(difference: PolicyDifference, change: Change, example: Example) -> bool:
    """Whether deciding agrees that an example flips, in the direction that it stands for."""
    question = (change.resource_type, change.action)
    gained = example is change.gain
    for row in change.parts:
        if row.view.space.has_free_matches:
            continue  # no text is made up that a free match matches
        for request in cases_of(row.view, question, row.gained if gained else row.lost):
            if flip_by_deciding(difference.before, difference.after, row.held, request) is not gained:
                return False
    return True


def compared(before: PolicySet, after: PolicySet) -> PolicyDifference:
    """The difference, after a look at whether its parts fit together: every flip is behind some change."""
    difference = difference_between(before, after)
    for views in difference.views.values():
        for view in views:
            for role_combination in view.role_combinations:
                key = (role_combination.before, role_combination.after)
                was, is_ = view.allowed(key)
                behind = difference.changes_behind(key, view)
                gained = lost = 0
                for _, more, less in behind:
                    gained |= more
                    lost |= less
                assert (gained, lost) == (is_ & ~was, was & ~is_)
    return difference
