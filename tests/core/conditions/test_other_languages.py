"""Who writes a condition in another language is told what to write here."""

import pytest

from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.tokens import ExpressionFault

ROLES = "who holds which role stands under `allow` of the grant"
RELATIONS = "there are no relations here"
NETWORK = 'write in_network(context.ip, "10.0.0.0/8")'
LISTS = "conditions do not go through lists"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        # Cedar
        ('principal in Role::"manager"', ROLES),
        ('action == Action::"view"', "the actions stand under `to` of the grant"),
        ('resource.owner == User::"alice"', 'subject.id == "alice"'),
        ("resource has owner", "write has resource.owner"),
        ("resource is Payment", "the resource type stands under `resource` of the grant"),
        ("if resource.amount > 5 then true else false", "there is no if"),
        ('context.ip.isInRange(ip("10.0.0.0/8"))', NETWORK),
        ('resource.amount.lessThan(decimal("10.0"))', "numbers are compared with <"),
        ('datetime("2026-01-01") < context.now', 'time("2026-12-31T00:00:00Z")'),
        # Cerbos
        ("V.is_owner", "a condition of conditions.yaml is used by its name alone: is_owner"),
        ("hasIntersection(P.attr.teams, R.attr.teams)", "write subject.teams overlaps resource.teams"),
        ('R.attr.ip.inIPAddrRange("10.0.0.0/8")', NETWORK),
        ('context.age < duration("24h")', "hours(24)"),
        # words for functions that many languages have
        *(
            (f"{name}(resource.team)", "not has resource.team")
            for name in ("exists", "isNull", "is_empty", "defined", "isSet")
        ),
        *(
            (f'{name}(context.ip, "10.0.0.0/8")', "write in_network(context.ip")
            for name in ("cidr", "ipMatch", "ip_in_range")
        ),
        *((f"{name}(subject.a, resource.b)", "overlaps resource.teams") for name in ("intersects", "containsAny", "any_of")),
        *((f"{name}(subject.a, resource.b)", "subset of subject.labels") for name in ("containsAll", "all_of")),
        ("has not resource.team", "write not has resource.team"),
        ("subject.teams not overlaps resource.teams", "not … overlaps …"),
        # Rego
        ('some i; input.user.roles[i] == "admin"', LISTS),
        ("x := resource.amount", "there are no variables"),
        ('net.cidr_contains("10.0.0.0/8", context.ip)', NETWORK),
        ('regex.match("a.*", resource.state)', "there are no regular expressions"),
        ("time.now_ns() < 5", "context.now"),
        ('resource.state in {"draft", "sent"}', 'in ["a", "b"]'),
        # OpenFGA and SpiceDB
        ("viewer from parent", RELATIONS),
        ("[user] or viewer from folder", RELATIONS),
        ("[user, group#member]", RELATIONS),
        ("editor but not blocked", RELATIONS),
        ("parent->view", RELATIONS),
        ("owner + writer", RELATIONS),
        ("viewer - banned", RELATIONS),
        # Casbin
        ("r.sub == resource.owner", ROLES),
        ("g(r.sub, p.sub)", ROLES),
        ("r.obj.owner == subject.id", "resource.owner"),
        ("keyMatch(r.obj, p.obj)", "write matches_path("),
        ('ipMatch(context.ip, "10.0.0.0/8")', NETWORK),
        # SQL, Python, JavaScript
        ("resource.state is null", "write not has resource.state"),
        ("resource.state is not null", "write has resource.state"),
        ('resource.state is not "draft"', "write resource.state !="),
        ("resource.state == null", "`not has resource.team`"),
        ('resource.state !== "draft"', "`!=`"),
        ('resource.state not == "draft"', "`!=`"),
        ("resource.owners.includes(subject.id)", "write subject.id in resource.owners"),
        ("any(x in resource.owners)", LISTS),
        ('lower(resource.state) == "draft"', "conditions do not change texts"),
        ('context.ip matches "10\\..*"', "there are no regular expressions"),
        ("${subject.id} == resource.owner", "attributes stand without brackets: subject.id"),
        # what people write
        ("resource.amount <= 10 000", "without signs between its digits: 10000"),
        ("resource.grant_end < resource.start + resource.length", "conditions do not calculate"),
        ("true", "what holds always has no condition"),
        ("always", "what holds always has no `when`"),
    ],
)
def test_the_hint_says_what_to_write_here(text: str, hint: str) -> None:
    with pytest.raises(ExpressionFault) as fault:
        parse_condition(text, lambda name: None, {})
    assert hint in fault.value.hint
