"""ordered-texts: a comparison that puts texts in order, letter by letter.

Texts are ordered by their letters, so "999" is more than "1000", and "12/31/2027" comes before "2026-12-31". That is seldom
what is meant by an amount or a date.

    when: resource.amount > "1000"                 # a text; write the number: resource.amount > 1000

Write a number without quotes. Dates come out right only where all of them are in the same form and the same zone, such as
2026-12-31T00:00:00Z; better let the application send what follows from them, such as `resource.days_left`.

To keep it: `# klausel: off ordered-texts because <reason>` behind its line or above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.conditions.tree import Comparison, Literal, atoms
from klausel.core.lint.survey import Survey, warning
from klausel.core.terms.problem import Problem

ID = "ordered-texts"


def find(survey: Survey) -> Iterator[Problem]:
    """The findings of this rule."""
    for place, tree in survey.conditions_written:
        for atom in dict.fromkeys(atoms(tree)):
            if not isinstance(atom, Comparison) or atom.operator not in ("<", "<=", ">", ">="):
                continue
            texts = [side for side in (atom.left, atom.right) if isinstance(side, Literal) and isinstance(side.value, str)]
            if texts:
                message = f"`{atom}` puts texts in order, letter by letter"
                yield warning(place, ID, message, "write a number without quotes, or compare texts with == and in")
