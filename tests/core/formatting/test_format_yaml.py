"""The canonical form of YAML: what it looks like, that it says the same, and that it is one."""

import textwrap

import pytest

from klausel.core.formatting.yaml import WIDTH, format_yaml
from klausel.core.loading.file_schema import CONDITIONS, FEATURE, FILES, INVARIANTS, ROLES, TESTS, Entries, Table
from klausel.core.terms.problem import PolicyError

ONE_GRANT = """\
    grants:
      - allow: lead
        to: [view, edit]
        resource: quiz
"""


def formatted(text: str, shape: Table | Entries = FEATURE) -> str:
    once = format_yaml(textwrap.dedent(text), shape, "x.yaml")
    assert format_yaml(once, shape, "x.yaml") == once
    return once


def block(text: str) -> str:
    return textwrap.dedent(text)


@pytest.mark.parametrize(
    "text",
    [
        ONE_GRANT,
        'grants: [{allow: lead, to: [view, edit], resource: "quiz"}]\n',
        "grants:\n- to:\n  - view\n  - 'edit'\n  resource:   quiz   \n\n  allow: lead",
        "grants:\n    -   resource: quiz\n        to: [view,\n             edit,]\n        allow: lead\n\n\n",
        "---\n{grants: [{resource: quiz, to: [view, edit], allow: lead}]}\n...\n",
        'grants:\r\n  - ? allow\r\n    : "lead"\r\n    "to": [view, edit]\r\n    resource: >-\r\n      quiz\r\n',
    ],
)
def test_however_a_grant_is_written_its_form_is_one(text: str) -> None:
    assert formatted(text) == block(ONE_GRANT)


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("allow: {all: [lead, any agent]}", "    allow: {all: [lead, any agent]}"),
        ("allow:\n      all:\n        - lead\n        - any agent", "    allow: {all: [lead, any agent]}"),
        ("allow: [ {all: [lead, agent]} , admin]", "    allow: [{all: [lead, agent]}, admin]"),
        ("allow:\n    - admin\n    - {all: [lead,agent]}", "    allow: [admin, {all: [lead, agent]}]"),
    ],
)
def test_grantees_of_several_names_stand_in_brackets(written: str, form: str) -> None:
    text = f"grants:\n  - {written}\n    to: view\n    resource: quiz\n"
    assert formatted(text) == f"grants:\n  - {form.strip()}\n    to: view\n    resource: quiz\n"


def test_keys_stand_in_their_usual_order_and_take_their_comments_along() -> None:
    text = """\
        # Grants.
        grants:
          - because: They do.  # said so
            # where
            in: acme
            resource: quiz
            to: view
            # who
            allow: lead
        # Types.
        resource_types:
            quiz: {actions: view}
        description: Quizzes.
    """
    assert formatted(text) == block("""\
        description: Quizzes.

        # Types.
        resource_types:
          quiz:
            actions: view

        # Grants.
        grants:
          # who
          - allow: lead
            to: view
            resource: quiz
            # where
            in: acme
            because: They do.  # said so
    """)


def test_what_stands_on_top_of_a_file_stays_there() -> None:
    assert formatted("# yaml-language-server: $schema=x\n# A type.\nresource_types: {}\ndescription: x") == block("""\
        # yaml-language-server: $schema=x
        description: x

        # A type.
        resource_types: {}
    """)
    assert formatted("\n\n# About the file.\n\n\n# A type.\nresource_types: {}\ndescription: x") == block("""\
        # About the file.

        description: x

        # A type.
        resource_types: {}
    """)


def test_one_empty_line_stands_between_grants_and_none_in_them() -> None:
    text = "grants:\n\n\n  - allow: a\n\n    to: b\n    resource: c\n  # d\n\n\n  # e\n  - allow: f\n    to: b\n    resource: c\n"
    assert formatted(text) == block("""\
        grants:
          - allow: a
            to: b
            resource: c

          # d

          # e
          - allow: f
            to: b
            resource: c
    """)


def test_empty_lines_between_names_that_people_choose_stay_as_one() -> None:
    assert formatted("a: b\n\n\n\nc: d\ne: f\n# g\n\nh: i", CONDITIONS) == "a: b\n\nc: d\ne: f\n# g\n\nh: i\n"
    text = "roles:\n\n  a: {level: b}\n  c: {level: d}\n\n\n  # e\n  f: {level: g}"
    assert formatted(text, ROLES) == block("""\
        roles:
          a:
            level: b
          c:
            level: d

          # e
          f:
            level: g
    """)


def test_the_order_of_names_that_people_choose_stays() -> None:
    text = "levels:\n  z:\n    constant: x\n  a:\n    named_by: y\n\nroles:\n  z:\n    level: z\n  a:\n    level: a\n"
    assert formatted(text, ROLES) == text


def test_quotes_go_where_they_are_not_needed_and_stay_where_they_are() -> None:
    text = r"""
        a: 'no'
        b: "012"
        c: "x == \"y\""
        d: 'a: b'
        e: 'it''s # "so"'
        f: "- g"
        h: "null"
        i: "tab\there"
        j: "[k]"
        l: "&m"
        n: " o "
        "p": "resource.q[\"r\"] in ['s', \"t\"]"
        'null': "back\\slash"
        "x: y": "\u202e"
    """
    assert formatted(text, CONDITIONS) == block(r"""
        a: no
        b: 012
        c: x == "y"
        d: "a: b"
        e: 'it''s # "so"'
        f: "- g"
        h: "null"
        i: "tab\there"
        j: "[k]"
        l: "&m"
        n: " o "
        p: resource.q["r"] in ['s', "t"]
        null: back\slash
        "x: y": "\u202E"
    """).lstrip("\n")


def test_values_of_properties_keep_the_quotes_that_make_them_texts() -> None:
    text = 'resources:\n  r: {"type": "t", n: "12", b: "true", e: "", w: "word", p: 1e3, f: false, x: null, l: ["1", 1, \'a\']}\n'
    assert formatted(text, TESTS) == block("""\
        resources:
          r: {type: t, n: "12", b: "true", e: "", w: word, p: 1e3, f: false, x: null, l: ["1", 1, a]}
    """)


def test_people_and_resources_stand_on_one_line_while_that_is_short_enough() -> None:
    long = "x" * (WIDTH // 2)
    text = f"people:\n  leo:\n    roles:\n      acme: user\n    type: service\n  {long}:\n    roles: {{acme: {long}}}\n"
    assert formatted(text, TESTS) == (
        f"people:\n  leo: {{type: service, roles: {{acme: user}}}}\n  {long}:\n    roles: {{acme: {long}}}\n"
    )


def test_a_list_that_does_not_fit_stands_on_several_lines() -> None:
    names = [f"action_number_{number}" for number in range(10)]
    text = f"resource_types:\n  quiz:\n    actions: [{', '.join(names)}]\n"
    lines = "".join(f"      - {name}\n" for name in names)
    assert formatted(text) == f"resource_types:\n  quiz:\n    actions:\n{lines}"


def test_a_long_text_is_folded_and_one_that_fits_is_not() -> None:
    text = "description: >-\n  Short\n  text.\n"
    assert formatted(text) == "description: Short text.\n"
    words = "word " * 40 + "end: #1"
    result = formatted(f"description: '{words}'\n")
    assert result.startswith("description: >-\n  word word")
    assert max(map(len, result.splitlines())) <= WIDTH
    assert " ".join(line.strip() for line in result.splitlines()[1:]) == words


def test_a_text_of_several_lines_keeps_them() -> None:
    assert formatted('description: "One.\\nTwo.\\n"') == "description: |\n  One.\n  Two.\n"
    assert formatted('description: "One.\\n\\nTwo."') == "description: |-\n  One.\n\n  Two.\n"
    assert formatted('description: "One. \\nTwo."') == 'description: "One. \\nTwo."\n'


def test_comments_in_odd_places_stay_beside_or_above_what_they_are_about() -> None:
    text = """\
        grants:  # all
          - # dash
            allow:  # who
              # first
              - lead  # one
              - any lead
              # last
            to: [view,  # see
                 edit]  # write
            resource: quiz
            # end of grant
          # end of grants
        # end of file
    """
    assert formatted(text) == block("""\
        grants:  # all
          # dash
          - allow:  # who
              # first
              - lead  # one
              - any lead
              # last
            to:  # write
              - view  # see
              - edit
            resource: quiz
            # end of grant
          # end of grants
        # end of file
    """)


def test_a_comment_that_switches_off_a_warning_stays_with_the_line_that_it_is_about() -> None:
    text = """\
        grants:
          - to: view  # klausel: off covered-grant because it is said
            allow: lead  # who
            resource: quiz
          - {allow: lead, to: view, resource: quiz}  # klausel: off covered-grant because it is said
          - allow: lead  # klausel: off covered-grant because it is said
            to: view
            resource: quiz
    """
    assert formatted(text) == block("""\
        grants:
          # klausel: off covered-grant because it is said
          - allow: lead  # who
            to: view
            resource: quiz

          # klausel: off covered-grant because it is said
          - allow: lead
            to: view
            resource: quiz

          - allow: lead  # klausel: off covered-grant because it is said
            to: view
            resource: quiz
    """)


def test_a_comment_behind_the_sign_of_a_block_stays() -> None:
    assert formatted("description: >-  # why\n  Short.\n# end") == "description: Short.  # why\n# end\n"
    assert (
        formatted("description: |  # why\n  # no comment\n  at all\n") == "description: |  # why\n  # no comment\n  at all\n"
    )


def test_a_hash_in_a_text_is_no_comment() -> None:
    text = 'a: x#y\nb: "x # y"\n'
    assert formatted(text, CONDITIONS) == text


def test_things_to_separate_stand_on_a_line_each() -> None:
    text = "invariants: [{separate: [admin, lead]}, {separate: [{resource: a, to: b}, {to: c, resource: d}]}]"
    assert formatted(text, INVARIANTS) == block("""\
        invariants:
          - separate: [admin, lead]

          - separate:
              - {to: b, resource: a}
              - {to: c, resource: d}
    """)


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("grants: [", "yaml-syntax"),
        ("grants: {}\ngrants: {}", "repeated-key"),
        ("grants:\n  - alow: lead", "unknown-key"),
        ("grants: lead", "wrong-kind"),
        ("description: &a x", "yaml-feature"),
        ("- x", "wrong-kind"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_with_its_problems(text: str, id_: str) -> None:
    with pytest.raises(PolicyError) as caught:
        format_yaml(text, FEATURE, "x.yaml")
    assert id_ in {problem.id for problem in caught.value.problems}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("text", ["", "# only a comment\n", "\n\n"])
def test_a_file_that_says_nothing_stays_as_it_is(kind: str, text: str) -> None:
    assert format_yaml(text, FILES[kind], "x.yaml") == text
