"""odd-number: a number with a point and three digits behind it, which some write for thousands.

The point of a number stands before its decimals, always. Whoever writes thousands with a point means a thousand times as much,
and a limit of `1.125` is then one of a little more than 1. (`1.000` and `1.250` are refused: they can be written shorter.)

    when: resource.amount < 1.125        # 1125, or 1.125 with a reason

To keep it: `# klausel: off odd-number because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.conditions.tokens import looks_like_thousands
from klausel.core.conditions.tree import atoms, literals_of
from klausel.core.conditions.values import literal_text
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "odd-number"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for place, tree in survey.conditions_written:
        numbers = (one.value for atom in atoms(tree) for one in literals_of(atom) if isinstance(one.value, float))
        for text in dict.fromkeys(map(literal_text, numbers)):
            if looks_like_thousands(text):
                hint = f"write {text.replace('.', '')}, if thousands are meant"
                yield warning(place, ID, f"`{text}` has three decimals, and can be mistaken for thousands", hint)
