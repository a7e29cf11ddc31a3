"""Who was allowed what in a period, by the decisions that were recorded: as much as tells what somebody never needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Use = tuple[str, str, str, str]
"""One decision about a subject: domain, resource type and action are empty where it was not an allow in a domain.

A plain tuple: millions of them are made, compared and sent between processes.
"""


class PermissionUse:
    """Takes uses in any order, and keeps each once. Subjects that are not there asked for nothing in the period."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._things: list[tuple[str, tuple[str, str]]] = []
        self._by_subject: dict[str, set[int]] = {}

    def add(self, uses: Iterable[Use]) -> None:
        """Takes in uses."""
        by_subject, numbers, things = self._by_subject, self._numbers, self._things
        for subject, domain, resource_type, action in uses:
            of_subject = by_subject.get(subject)
            if of_subject is None:
                of_subject = by_subject[subject] = set()
            if domain:
                key = (domain, resource_type, action)
                number = numbers.get(key)
                if number is None:
                    number = numbers[key] = len(things)
                    things.append((domain, (resource_type, action)))
                of_subject.add(number)

    def asked(self, subject: str) -> bool:
        """Whether anything was decided about a subject."""
        return subject in self._by_subject

    def of_subject(self, subject: str) -> Iterator[tuple[str, tuple[str, str]]]:
        """What a subject was allowed to do: each domain with a resource type and an action."""
        return map(self._things.__getitem__, self._by_subject.get(subject, ()))
