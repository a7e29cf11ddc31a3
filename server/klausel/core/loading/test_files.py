"""Reading policy tests, `tests/*_test.yaml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from klausel.core.conditions.values import read_time
from klausel.core.loading.features import Vocabulary
from klausel.core.loading.fields import ProblemList
from klausel.core.loading.file_schema import TEST, TESTS
from klausel.core.loading.json_values import read_properties
from klausel.core.loading.property_checks import check_values
from klausel.core.loading.test_people import Person, read_person, read_resource
from klausel.core.policy.policy_test import Expectation, PlacesSent, PolicyTest, grant_text
from klausel.core.terms.problem import Place
from klausel.core.terms.request import NOW, Action, Request, Resource, Subject, asked_at
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text

TEST_KEYS = {kind: TEST.names_beside(kind) for kind in ("allowed", "who_can", "what_can")}
"""The keys of each kind of test, by the key that makes it one; `allowed` may be left out."""

MOST_QUESTIONS = 500_000
"""Questions that the tests of one file may ask: each person, action and resource of a test is one."""


@dataclass(frozen=True, slots=True)
class _Cast:
    """What the tests of a file may name; `named_*` also hold what has a problem, reported already, with where it says what."""

    people: Mapping[str, Person]
    resources: Mapping[str, Resource]
    named_people: Mapping[str, Mapping[str, Place]]
    named_resources: Mapping[str, Mapping[str, Place]]


@dataclass(slots=True)
class _Asked:
    """The questions of a test: each of these people, each action (None: all of the type), on each resource."""

    resources: list[str]
    people: list[str]
    actions: list[str] | None = None
    context: Mapping[str, object] = field(default_factory=dict)
    action_properties: Mapping[str, object] = field(default_factory=dict)
    sent_at: PlacesSent = field(default_factory=dict)
    now: datetime | None = None

    def request(self, subject: Subject, action: str, resource: Resource) -> Request:
        """The request of one question."""
        request = Request(subject, Action(action, self.action_properties), resource, self.context)
        return request if self.now is None else asked_at(request, self.now)


_Pairs = dict[tuple[str, str], Text]
"""By person and action."""


def read_tests(root: Fields, vocabulary: Vocabulary, problems: ProblemList) -> Iterator[PolicyTest]:
    """The tests of one file, in its order; those with a problem are left out."""
    problems.check_keys(root, TESTS.names, TESTS.what)
    problems.text(root.get("description"), "description")
    reader = _Reader(_cast(root, vocabulary, problems), vocabulary, problems)
    names: dict[str, Place] = {}
    for fields in problems.each(root.get("tests"), "tests", "a test"):
        before = len(problems.found)
        name = problems.text(fields.get("name"), "name")
        if fields.get("name") is None:
            problems.add(fields.place, "missing-key", "the test has no name", "add name: and what it shows, in a few words")
        if name is not None:
            first = names.setdefault(name.value, name.place)
            if first != name.place:
                message = f'"{name.value}" names the test on line {first.line} already'
                problems.add(name.place, "repeated-value", message, "give each test of a file a name of its own")
        expectations = tuple(reader.expectations(fields))
        if name is not None and len(problems.found) == before and expectations:
            yield PolicyTest(name.value, fields.place, expectations)


def _cast(root: Fields, vocabulary: Vocabulary, problems: ProblemList) -> _Cast:
    people: dict[str, Person] = {}
    resources: dict[str, Resource] = {}
    named_people, named_resources = {}, {}
    for name, node in problems.entries(root.get("people"), "people"):
        named_people[name.value] = _places_in(node)
        person = read_person(name, node, vocabulary, problems)
        if person is not None:
            people[name.value] = person
    for name, node in problems.entries(root.get("resources"), "resources"):
        named_resources[name.value] = _places_in(node)
        resource = read_resource(name, node, vocabulary, problems)
        if resource is not None:
            resources[name.value] = resource
    return _Cast(people, resources, named_people, named_resources)


def _places_in(node: Node | None) -> Mapping[str, Place]:
    """Where each key of an entry stands."""
    return {key.value: key.place for key, _ in node.entries} if isinstance(node, Fields) else {}


class _Reader:
    """Reads the tests of one file over the people and resources that it declares."""

    def __init__(self, cast: _Cast, vocabulary: Vocabulary, problems: ProblemList) -> None:
        self._cast = cast
        self._types = vocabulary.resource_types
        self._properties = vocabulary.properties
        self._problems = problems
        self._left = MOST_QUESTIONS

    def expectations(self, fields: Fields) -> Iterator[Expectation]:
        """What one test expects; nothing when it has a problem that leaves nothing to ask."""
        kinds = [kind for kind in TEST_KEYS if fields.get(kind) is not None]
        if len(kinds) > 1:
            message = f"the test has both {kinds[0]} and {kinds[1]}"
            self._problems.add(fields.place, "wrong-kind", message, "write two tests")
            return
        kind = kinds[0] if kinds else self._kind_meant(fields)
        meant = self._problems.check_keys(fields, TEST_KEYS[kind], "a test" if kind == "allowed" else f"a test with {kind}")
        for key in ("resource",) if kind == "allowed" else ("resource", "answer"):
            if fields.get(key) is None and key not in meant:
                self._problems.add(fields.place, "missing-key", f'the test has no "{key}"', f"add {key}:")
        asked = self._asked(fields, kind)
        deciding: _Pairs = {}
        if kind == "who_can":
            who = self._among_people(self._answer(fields), asked)
            expected = {(text.value, action): text for text in who for action in asked.actions or ()}
        elif kind == "what_can":
            what = self._among_actions(self._answer(fields), asked)
            expected = {(person, text.value): text for person in asked.people for text in what}
        else:
            expected = self._allowed(fields.get("allowed"), asked)
            deciding = self._decided_by(fields.get("decided_by"), asked)
        self._left -= sum(len(self._actions_asked(asked, name)) for name in asked.resources) * len(asked.people)
        if self._left < 0:
            message = f"the tests of this file ask more than {MOST_QUESTIONS:,} questions"
            hint = "each person, action and resource of a test is one; name fewer, or put the tests into several files"
            self._problems.add(fields.place, "too-many-questions", message, hint)
            return
        yield from self._questions(fields.place, asked, expected, deciding)

    def _kind_meant(self, fields: Fields) -> str:
        """The kind of a test without the key of one: that of a misspelt key, else `allowed`, which may be left out."""
        unknown = [key.value.lower() for key, _ in fields.entries if key.value not in TEST.names]
        near = [self._problems.suggestions.nearest(one, TEST.names) for one in unknown]
        return next((one for one in near if one in TEST_KEYS), "allowed")

    def _actions_asked(self, asked: _Asked, resource: str) -> list[str]:
        actions = self._types[self._cast.resources[resource].type].actions
        return [action for action in actions if asked.actions is None or action in asked.actions]

    def _questions(self, place: Place, asked: _Asked, expected: _Pairs, deciding: _Pairs) -> Iterator[Expectation]:
        for resource_name in asked.resources:
            resource = self._cast.resources[resource_name]
            for person_name in asked.people:
                person = self._cast.people[person_name]
                sent_at = {
                    "subject": self._cast.named_people[person_name],
                    "resource": self._cast.named_resources[resource_name],
                    **asked.sent_at,
                }
                for action in self._actions_asked(asked, resource_name):
                    pair = (person_name, action)
                    grant = deciding.get(pair)
                    named = grant or expected.get(pair)
                    yield Expectation(
                        person_name,
                        resource_name,
                        asked.request(person.subject, action, resource),
                        person.held,
                        pair in expected,
                        grant_text(grant.value) if grant else None,
                        named.place if named else place,
                        person.is_forbidden,
                        sent_at,
                    )

    def _asked(self, fields: Fields, kind: str) -> _Asked:
        asked = _Asked(self._known_resources(fields.get("resource")), list(self._cast.people))
        if kind == "what_can":
            person = self._problems.text(fields.get("what_can"), "what_can")
            asked.people = self._known_people([person] if person else [])
        elif fields.get("people") is not None:
            asked.people = self._known_people(self._problems.texts(fields.get("people"), "people"))
        if kind == "who_can":
            action = self._problems.text(fields.get("who_can"), "who_can")
            asked.actions = [text.value for text in self._known_actions([action] if action else [], asked)]
        elif fields.get("actions") is not None:
            actions = self._problems.texts(fields.get("actions"), "actions")
            asked.actions = [text.value for text in self._known_actions(actions, asked)]
        context = self._problems.fields(fields.get("context"), "context")
        if context is not None:
            asked.context = read_properties(context, self._problems)
            sent_now = context.get(NOW)
            if sent_now is not None:
                message = "context.now is the time of the question"
                self._problems.add(sent_now.place, "wrong-kind", message, "write now: beside context")
        of_action = self._problems.fields(fields.get("action_properties"), "action_properties")
        if of_action is not None:
            asked.action_properties = read_properties(of_action, self._problems)
        if context is not None or of_action is not None or fields.get("undeclared") is not None:
            self._check_sent(fields, context, of_action, asked)
        asked.sent_at = {"context": _places_in(context), "action": _places_in(of_action)}
        asked.now = self._now(fields.get("now"))
        return asked

    def _check_sent(self, fields: Fields, context: Fields | None, of_action: Fields | None, asked: _Asked) -> None:
        """Reports what is sent with the questions, as context and of the action, and is not as declared."""
        sent = (
            (context, asked.context, "context", "the context"),
            (of_action, asked.action_properties, "action", "the action"),
        )
        parts = [(part, values, self._properties.get(root), what) for part, values, root, what in sent if part is not None]
        check_values(parts, self._problems, fields.get("undeclared"))

    def _now(self, node: Node | None) -> datetime | None:
        text = self._problems.text(node, "now")
        now = read_time(text.value) if text is not None else None
        if text is not None and now is None:
            hint = "write it as 2026-12-31T18:00:00Z or 2026-12-31T18:00:00+01:00"
            self._problems.add(text.place, "wrong-kind", f'"{text.value}" is no time', hint)
        return now

    def _known_resources(self, node: Node | None) -> list[str]:
        texts = self._problems.texts(node, "resource")
        for text in texts:
            if text.value not in self._cast.named_resources:
                cure = "Describe it under resources, in this file"
                self._problems.unknown(text, "unknown-resource", self._cast.named_resources, cure)
        return [text.value for text in texts if text.value in self._cast.resources]

    def _known_people(self, texts: list[Text]) -> list[str]:
        for text in texts:
            self._check_person(text)
        return [text.value for text in texts if text.value in self._cast.people]

    def _check_person(self, text: Text, is_key: bool = False) -> None:
        if text.value not in self._cast.named_people:
            cure = "Describe them under people, in this file"
            self._problems.unknown(text, "unknown-person", self._cast.named_people, cure, is_one=is_key)

    def _known_actions(self, texts: list[Text], asked: _Asked) -> list[Text]:
        """Those that some asked resource has; a problem for each other."""
        types = dict.fromkeys(self._cast.resources[name].type for name in asked.resources)
        known = dict.fromkeys(action for type_ in types for action in self._types[type_].actions)
        for text in texts:
            if known and text.value not in known:
                cure = f"The actions of {' and '.join(types)} are {', '.join(known)}"
                self._problems.unknown(text, "unknown-action", known, cure)
        return [text for text in texts if text.value in known]

    def _answer(self, fields: Fields) -> list[Text]:
        node = fields.get("answer")
        return [] if isinstance(node, Items) and not node.values else self._problems.texts(node, "answer")

    def _among_people(self, texts: list[Text], asked: _Asked, are_keys: bool = False) -> list[Text]:
        """Those whom the test asks about; a problem for each other."""
        for text in texts:
            self._check_person(text, are_keys)
            if text.value in self._cast.people and text.value not in asked.people:
                message = f'"{text.value}" is not among the people of this test'
                self._problems.add(text.place, "never-asked", message, "add them to people, or remove them here")
        return [text for text in texts if text.value in asked.people]

    def _among_actions(self, texts: list[Text], asked: _Asked) -> list[Text]:
        known = self._known_actions(texts, asked)
        for text in known:
            if asked.actions is not None and text.value not in asked.actions:
                message = f'"{text.value}" is not among the actions of this test'
                self._problems.add(text.place, "never-asked", message, "add it to actions, or remove it here")
        return known

    def _allowed(self, node: Node | None, asked: _Asked) -> _Pairs:
        expected: _Pairs = {}
        for person, actions in self._problems.entries(node, "allowed"):
            texts = self._problems.texts(actions, f"what {person.value} may do")
            for text in self._among_actions(texts, asked):
                expected[person.value, text.value] = text
            self._among_people([person], asked, are_keys=True)
        return expected

    def _decided_by(self, node: Node | None, asked: _Asked) -> _Pairs:
        deciding: _Pairs = {}
        for person, by_action in self._problems.entries(node, "decided_by"):
            self._among_people([person], asked, are_keys=True)
            for action, grant in self._problems.entries(by_action, f"the grants that decide for {person.value}"):
                text = self._problems.text(grant, "the grant")
                if text is not None and self._among_actions([action], asked):
                    deciding[person.value, action.value] = text
        return deciding
