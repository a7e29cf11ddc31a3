"""The one table of what conditions can say: every operator and function, and all that there is to know about each.

The parser, the tree, the ways in which conditions can turn out, the text for Casbin, mutants, the JSON schemas and the tests of
the documentation read it, so that one entry here is a new function everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from klausel.core.conditions.meanings import (
    WEEKDAYS,
    fault_in_networks,
    fault_in_zone,
    in_network,
    matches_glob,
    matches_path,
    networks_together,
    time_of_day,
    weekday,
)
from klausel.core.conditions.patterns_together import end_of, glob, path, patterns_together, start_of
from klausel.core.conditions.values import (
    Kind,
    at_least,
    at_most,
    contained,
    different,
    equal,
    greater,
    is_subset,
    kind_of,
    less,
    not_contained,
    overlaps,
    read_clock,
    read_time,
)

Form = Literal["call", "between", "before"]
"""How it is written: `name(a, b)`, `a name b` or `name a`."""

_LONGEST_DURATION = timedelta(days=36_525)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument: the kinds of value that it takes (none named: any), and whether it must be written in the condition.

    `fault` says what is wrong with a value that is written, and how to fix it.
    """

    kinds: tuple[Kind, ...] = ()
    is_written: bool = False
    fault: Callable[[object], str | None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One entry.

    `gives` is `truth` for what is true or false, else the kind of its value. `meaning` gets as many values as there are
    `parameters`, each of a kind that this takes, and never raises; None is unknown. Whatever is of another kind makes it unknown
    without being asked. `in_casbin` is its name there; that of its opposite is the same behind `not_`.
    `told_by` says how analyses find the ways in which it can turn out: by *values*, where only that matters which values are
    equal or in which order they are, or it is *free*: then `may_be` are its ways where the kinds fit, whatever the values are.
    What looks at anything else of its values, such as how long they are, must be free: by *values*, proofs would claim too much.
    `together` narrows that: how functions that have it in common can turn out for one first value and several second ones, which
    are written out; of these it is given what `reads` makes of them. It gives each way with first values that turn out so, where
    it knows some, and None where that is too much to find.
    `about` and `example` are what people read.
    `opposite` says it negated, `mirrored` with the sides changed; `turned` says the same with the sides changed, and stands for
    it in the tree. `near` is what it is confused with; mutants put that in.
    `values` are all that it can give, where these are few.
    """

    name: str
    form: Form
    parameters: tuple[Parameter, ...]
    gives: Kind | Literal["truth"]
    meaning: Callable[..., object]
    in_casbin: str
    told_by: Literal["values", "free"]
    about: str
    example: str
    may_be: tuple[bool | None, ...] = ()
    together: Callable[..., Mapping[tuple[bool | None, ...], Sequence[str]] | None] | None = None
    reads: Callable[..., object] = lambda second: second
    opposite: str | None = None
    mirrored: str | None = None
    turned: str | None = None
    near: str | None = None
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.told_by == "free" and self.gives == "truth" and not self.may_be:
            raise ValueError(f"{self.name}: what is free must say in which ways it may turn out")
        is_called = self.form == "call" and self.gives == "truth" and self.told_by == "values"
        if is_called and not all(parameter.kinds for parameter in self.parameters):
            raise ValueError(
                f'{self.name}: analyses try values of each parameter; say its kinds, `Parameter(kinds=("number",))`'
            )

    def __call__(self, *values: object) -> object:
        """The value or the truth for some values; None (unknown) where one is of a kind that its parameter does not take."""
        for parameter, value in zip(self.parameters, values, strict=True):
            if parameter.kinds and kind_of(value) not in parameter.kinds:
                return None
        return self.meaning(*values)


def _fault_in_time(value: object) -> str | None:
    if read_time(value) is not None:
        return None
    return f'`{value}` is no time; write it as "2026-12-31T00:00:00Z" or "2026-12-31T17:30:00+01:00"'


def _fault_in_clock(value: object) -> str | None:
    return (
        None
        if read_clock(value) is not None
        else f'`{value}` is no time of day; write hours and minutes from "00:00" to "23:59"'
    )


def _fault_in_duration(unit: timedelta) -> Callable[[object], str | None]:
    most = _LONGEST_DURATION // unit

    def fault(value: object) -> str | None:
        if isinstance(value, int | float) and 0 <= value <= most:
            return None
        return f"`{value}` is too much or too little here; write a number from 0 to {most}"

    return fault


def _duration(name: str, unit: timedelta) -> Function:
    parameter = Parameter(kinds=("number",), fault=_fault_in_duration(unit))

    def duration(number: float) -> timedelta | None:
        try:
            return number * unit
        except OverflowError:
            return None

    return Function(
        name=name,
        form="call",
        parameters=(parameter,),
        gives="duration",
        meaning=duration,
        in_casbin=name,
        told_by="values",
        about=f"That many {name}, a duration.",
        example=f"context.now - resource.created < {name}(30)",
    )


_ANY = Parameter()
_TEXT = Parameter(kinds=("text",))
_PART = Parameter(
    kinds=("text",), fault=lambda value: None if value else "an empty text is part of every text; write the part"
)
_LIST = Parameter(kinds=("list",))
_TIME = Parameter(kinds=("time",))
_ZONE = Parameter(kinds=("text",), fault=fault_in_zone)
_PATTERN = Parameter(kinds=("text",), is_written=True)
_NETWORKS = Parameter(kinds=("text", "list"), fault=fault_in_networks)


def _comparison(
    name: str,
    meaning: Callable[[object, object], bool | None],
    in_casbin: str,
    about: str,
    example: str,
    *,
    opposite: str | None = None,
    mirrored: str | None = None,
    near: str | None = None,
    turned: str | None = None,
) -> Function:
    return Function(
        name=name,
        form="between",
        parameters=(_ANY, _ANY),
        gives="truth",
        meaning=meaning,
        in_casbin=in_casbin,
        told_by="values",
        about=about,
        example=example,
        opposite=opposite,
        mirrored=mirrored,
        near=near,
        turned=turned,
    )


_ENTRIES = (
    _comparison(
        "==", equal, "is_equal", "The same value, of the same kind.", 'resource.status == "open"',
        opposite="!=", mirrored="==",
    ),
    _comparison(
        "!=", different, "is_different", "Another value of the same kind.", 'resource.status != "open"',
        opposite="==", mirrored="!=",
    ),
    _comparison(
        "<", less, "is_less", "Less, or earlier; for numbers, times and durations.", "resource.amount < 1000",
        opposite=">=", mirrored=">", near="<=",
    ),
    _comparison(
        "<=", at_most, "is_at_most", "At most, or not later.", "resource.amount <= 1000",
        opposite=">", mirrored=">=", near="<",
    ),
    _comparison(
        ">", greater, "is_greater", "More, or later.", "resource.amount > 1000",
        opposite="<=", mirrored="<", near=">=",
    ),
    _comparison(
        ">=", at_least, "is_at_least", "At least, or not earlier.", "resource.amount >= 1000",
        opposite="<", mirrored="<=", near=">",
    ),
    _comparison(
        "in", contained, "is_in", "One of a list.", 'resource.status in ["open", "waiting"]',
        opposite="not in",
    ),
    _comparison(
        "not in", not_contained, "is_not_in", "None of a list.", "subject.id not in resource.blocked",
        opposite="in",
    ),
    _comparison(
        "contains", lambda container, item: contained(item, container), "contains", "A list with this in it.",
        "resource.watchers contains subject.id",
        turned="in",
    ),
    Function(
        name="overlaps", form="between", parameters=(_LIST, _LIST), gives="truth", meaning=overlaps, in_casbin="overlaps",
        told_by="values", may_be=(True, False, None), mirrored="overlaps", near="subset of",
        about="Two lists with something in common.", example="subject.teams overlaps resource.teams",
    ),
    Function(
        name="subset of", form="between", parameters=(_LIST, _LIST), gives="truth", meaning=is_subset, in_casbin="subset_of",
        told_by="values", may_be=(True, False, None), near="overlaps",
        about="A list of which everything is in the other, too; an empty one is.",
        example='resource.labels subset of ["public", "internal"]',
    ),
    Function(
        name="has", form="before", parameters=(_ANY,), gives="truth", meaning=lambda value: value is not None,
        in_casbin="has", told_by="values",
        about="Whether the request says it at all; never unknown.", example="not has resource.assignee",
    ),
    Function(
        name="matches_glob", form="call", parameters=(_TEXT, _PATTERN), gives="truth", meaning=matches_glob,
        in_casbin="matches_glob", told_by="free", may_be=(True, False), together=patterns_together, reads=glob,
        about="A text that matches a pattern: `*` is any run of characters, `?` one.",
        example='matches_glob(resource.name, "draft-*")',
    ),
    Function(
        name="matches_path", form="call", parameters=(_TEXT, _PATTERN), gives="truth", meaning=matches_path,
        in_casbin="matches_path", told_by="free", may_be=(True, False), together=patterns_together, reads=path,
        about="A path that matches a pattern: `*` stays inside one part between slashes, `**` is any number of parts.",
        example='matches_path(resource.path, "/teams/*/files/**")',
    ),
    Function(
        name="starts_with", form="call", parameters=(_TEXT, _PART), gives="truth", meaning=str.startswith,
        in_casbin="starts_with", told_by="free", may_be=(True, False), together=patterns_together, reads=start_of,
        near="ends_with",
        about="A text that starts with another.", example='starts_with(resource.name, "draft-")',
    ),
    Function(
        name="ends_with", form="call", parameters=(_TEXT, _PART), gives="truth", meaning=str.endswith,
        in_casbin="ends_with", told_by="free", may_be=(True, False), together=patterns_together, reads=end_of,
        near="starts_with",
        about="A text that ends with another.", example='ends_with(subject.email, "@example.com")',
    ),
    Function(
        name="in_network", form="call", parameters=(_TEXT, _NETWORKS), gives="truth", meaning=in_network,
        in_casbin="in_network", told_by="free", may_be=(True, False, None), together=networks_together,
        about="An IP address in a network, or in one of a list.", example='in_network(context.ip, "10.20.0.0/16")',
    ),
    Function(
        name="time", form="call", parameters=(Parameter(kinds=("text", "time"), fault=_fault_in_time),), gives="time",
        meaning=read_time, in_casbin="time", told_by="values",
        about="The instant that a text names, with its offset or `Z`.",
        example='context.now < time("2026-12-31T00:00:00Z")',
    ),
    _duration("days", timedelta(days=1)),
    _duration("hours", timedelta(hours=1)),
    _duration("minutes", timedelta(minutes=1)),
    _duration("seconds", timedelta(seconds=1)),
    Function(
        name="-", form="between", parameters=(_TIME, _TIME), gives="duration", meaning=lambda end, start: end - start,
        in_casbin="difference", told_by="values",
        about="What lies between two times.", example="context.now - resource.created < days(30)",
    ),
    Function(
        name="clock", form="call", parameters=(Parameter(kinds=("text",), fault=_fault_in_clock),), gives="clock",
        meaning=read_clock, in_casbin="clock", told_by="values",
        about="The time of day that a text names.", example='time_of_day(context.now, "Europe/Berlin") < clock("18:00")',
    ),
    Function(
        name="time_of_day", form="call", parameters=(_TIME, _ZONE), gives="clock", meaning=time_of_day,
        in_casbin="time_of_day", told_by="values",
        about="What a clock in a zone shows at a time.",
        example='time_of_day(context.now, "Europe/Berlin") >= clock("09:00")',
    ),
    Function(
        name="weekday", form="call", parameters=(_TIME, _ZONE), gives="text", meaning=weekday, in_casbin="weekday",
        told_by="values", values=WEEKDAYS,
        about="The day of the week in a zone at a time, such as `monday`.",
        example='weekday(context.now, "Europe/Berlin") in ["saturday", "sunday"]',
    ),
)  # fmt: skip

FUNCTIONS: Mapping[str, Function] = {entry.name: entry for entry in _ENTRIES}
"""The table, by name."""
WITH_A_PATTERN = frozenset(entry.name for entry in _ENTRIES if _PATTERN in entry.parameters)
"""What compares with a pattern, in which a star is a wildcard."""
WITH_A_PATH = frozenset(entry.name for entry in _ENTRIES if entry.meaning is matches_path)
"""What compares with a pattern in parts, of which `**` is any number."""
WITH_A_PART = frozenset(entry.name for entry in _ENTRIES if _PART in entry.parameters)
"""What looks for the second text in the first."""
WITH_A_ZONE = frozenset(entry.name for entry in _ENTRIES if _ZONE in entry.parameters)
"""What goes by the clock of a zone."""
WITH_NETWORKS = frozenset(entry.name for entry in _ENTRIES if _NETWORKS in entry.parameters)
"""What looks for an address in networks."""
OPPOSITE = "not_"
"""What stands before the name that the opposite of an entry has in Casbin."""
