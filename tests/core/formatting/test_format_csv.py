"""The canonical form of Casbin rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klausel.core.formatting.files import format_csv
from klausel.core.terms.problem import PolicyError
from klausel.core.text.csv_rows import read_csv


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("p,a , b\n", "p, a, b\n"),
        ("p, a,      b", "p, a, b\n"),
        ('p, "a", "b,c", "d ""e"""', 'p, a, "b,c", "d ""e"""\n'),
        ('p, "# a", " b", "c\nd"', 'p, "# a", " b", "c\nd"\n'),
        ("p, a, , b,", "p, a, , b,\n"),
        ("p, a, acme//team, b\np, a, *//team\n", "p, a, acme at level team, b\np, a, * at level team\n"),
        ("g, a, acme//team, *\n", "g, a, acme//team, *\n"),
        ("\n\n# x\n  #y  \n\n\n\np, a\r\n\n", "# x\n#y\n\np, a\n"),
        ('"",a\n""', ', a\n""\n'),
        ("", ""),
    ],
)
def test_one_blank_stands_behind_a_comma_and_quotes_only_where_they_are_needed(text: str, form: str) -> None:
    assert format_csv(text, "x.csv") == form
    assert format_csv(form, "x.csv") == form


@pytest.mark.parametrize("text", ['p, "a', "p, a # b", 'p, a"b'])
def test_what_cannot_be_read_is_refused_with_its_problems(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        format_csv(text, "x.csv")
    assert list(caught.value.problems) == read_csv(text, "x.csv")[1]


@given(st.text(alphabet='pa ,"#\n\t\r', max_size=30))
def test_any_text_is_refused_or_keeps_its_rows_and_has_one_form(text: str) -> None:
    text = text.replace("\r", "\r\n")
    try:
        once = format_csv(text, "x.csv")
    except PolicyError:
        return
    assert format_csv(once, "x.csv") == once

    def rows(text: str) -> list[list[str]]:
        return [[field.value for field in row] for row in read_csv(text, "x.csv")[0]]

    assert rows(once) == rows(text.replace("\r\n", "\n"))
