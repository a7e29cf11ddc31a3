"""What files of two policy sets say otherwise of single subjects and resources."""

from __future__ import annotations

import json
from collections.abc import Iterator

from klausel.core.policy.entity import WrittenEntity
from klausel.core.policy.policy_set import PolicySet


def changed_entities(before: PolicySet, after: PolicySet, of_type: str | None = None) -> Iterator[str]:
    """What is written otherwise, a sentence for each subject and resource; decisions about these may be others.

    With a resource type only what may change decisions about it: its resources, and all subjects.
    """
    for key in dict.fromkeys((*before.entities, *after.entities)):
        if key[0] == "resource" and of_type not in (None, key[1]):
            continue
        was, now = before.entities.get(key), after.entities.get(key)
        if was is not None and now is not None:
            changes = tuple(_changes(was, now))
            if changes:
                yield f"what is written of the {key[0]} {now.entity.name}: {'; '.join(changes)} ({now.place.source})"
        elif now is not None:
            yield f"the {key[0]} {now.entity.name} is written in {now.place.source} now, with {_properties(now)}"
        elif was is not None:
            yield f"the {key[0]} {was.entity.name} is no longer written; it was in {was.place.source}, with {_properties(was)}"


def _properties(written: WrittenEntity) -> str:
    said = ", ".join(f"{name} {_value(value)}" for name, value in written.entity.properties.items())
    return said or "no property"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _changes(was: WrittenEntity, now: WrittenEntity) -> Iterator[str]:
    if was.entity.domain != now.entity.domain:
        old, new = (f"lies in {one.entity.domain}" if one.entity.domain else "names no domain" for one in (was, now))
        yield f"it {new}; before, it {old}"
    before, after = was.entity.properties, now.entity.properties
    yield from (f"{name} is gone; it was {_value(value)}" for name, value in before.items() if name not in after)
    for name, value in after.items():
        if name not in before:
            yield f"{name} is {_value(value)}"
        elif json.dumps(before[name], sort_keys=True) != json.dumps(value, sort_keys=True):
            yield f"{name} is {_value(value)}; it was {_value(before[name])}"
