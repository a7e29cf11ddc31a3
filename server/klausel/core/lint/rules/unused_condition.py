"""unused-condition: a named condition that nothing uses.

No grant and no invariant uses it, not even through another condition. It may be left over, or the grant that should use it
has another in its place.

    is_archived: resource.status == "archived"     # and no `when: is_archived` anywhere

Use it, or remove it.

To keep it: `# klausel: off unused-condition because <reason>` behind its line or above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from klausel.core.conditions.parser import named_conditions_in
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "unused-condition"
_WORD = re.compile(r"[^\W\d]\w*")


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    policy = survey.policy
    unused = dict(policy.conditions)
    waiting = [*(grant.condition_text for grant in policy.grants), *(rule.condition_text for rule in policy.invariants)]
    seen: set[str] = set()
    while waiting and unused:
        text = waiting.pop()
        if text not in seen:
            seen.add(text)
            if not unused.keys().isdisjoint(_WORD.findall(text)):
                used = [unused.pop(name) for name in named_conditions_in(text, policy.conditions) if name in unused]
                waiting += [condition.text for condition in used]
    for condition in unused.values():
        message = f"no grant and no invariant uses condition {condition.name}"
        yield warning(condition.place, ID, message, "use it, or remove it")
