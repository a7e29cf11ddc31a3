"""Pictures of policies: everything is on them, nothing overlaps, and no text of the policies breaks out."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest
from command_line import ROOT
from small_policies import PAYMENTS, load

from klausel.core.analysis.matrix import matrix_rows
from klausel.core.difference.compare import difference_between
from klausel.core.difference.report import DifferenceReport
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.pictures.change_picture import change_picture
from klausel.core.pictures.feature_picture import NoSuchFeature, feature_picture
from klausel.core.pictures.layout import layout_of
from klausel.core.pictures.mermaid import as_mermaid
from klausel.core.pictures.picture import Arrow, Box, Picture
from klausel.core.pictures.role_picture import role_picture
from klausel.core.pictures.svg import as_svg
from klausel.core.policy.policy_set import PolicySet
from klausel.service.pipeline import open_policy

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'a"]<script>&#x\u202e;--> [`\n*end'


@pytest.fixture(scope="module")
def shipped() -> PolicySet:
    return open_policy(ROOT / "policies", ROOT / "model.conf").compiled.policy


def small(grants: str) -> PolicySet:
    policy = load("", grants).policy
    assert policy is not None
    return policy


def pictures(policy: PolicySet) -> list[Picture]:
    return [role_picture(policy), *(feature_picture(policy, name) for name in policy.resource_types)]


def test_no_two_boxes_overlap_and_all_lie_within_the_picture(shipped: PolicySet) -> None:
    for picture in pictures(shipped):
        layout = layout_of(picture)
        assert {placed.box.id for placed in layout.boxes} == {box.id for box in picture.boxes}
        for one in layout.boxes:
            assert one.x >= 0 and one.x + one.width <= layout.width
            assert one.y >= 0 and one.y + one.height <= layout.height
            band = layout.bands[one.box.band]
            assert band.y <= one.y and one.y + one.height <= band.y + band.height
        for one, other in combinations(layout.boxes, 2):
            apart = one.x + one.width <= other.x or other.x + other.width <= one.x
            assert apart or one.y + one.height <= other.y or other.y + other.height <= one.y


LONG_ROLES = """
levels: {firm: {named_by: firm}, shop: {named_by: shop}}
roles:
  owner: {level: firm, contains: [head, helper]}
  head: {level: firm, contains: [clerk, seller]}
  auditor: {level: firm, contains: clerk}
  clerk: {level: firm}
  seller: {level: shop, contains: buyer}
  buyer: {level: shop, contains: helper}
  guard: {level: shop, contains: helper}
  porter: {level: shop, contains: helper}
  helper: {level: shop}
"""
"""Many roles contain one that is columns away."""


def points_of(path: str) -> list[tuple[float, float]]:
    """Points along a path of SVG that has M, C and H."""
    found: list[tuple[float, float]] = []
    for kind, numbers in re.findall(r"([MCH])([^MCH]*)", path):
        values = list(map(float, numbers.split()))
        if kind == "M":
            found.append((values[0], values[1]))
        elif kind == "H":
            (x, y), to = found[-1], values[0]
            found += [(x + (to - x) * step / 50, y) for step in range(1, 51)]
        else:
            ends = [found[-1], *zip(values[::2], values[1::2], strict=True)]
            for step in range(1, 51):
                t = step / 50
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
                x, y = (sum(weight * end[axis] for weight, end in zip(weights, ends, strict=True)) for axis in (0, 1))
                found.append((x, y))
    return found


@pytest.mark.parametrize("roles", [LONG_ROLES, (ROOT / "policies" / "roles.yaml").read_text(encoding="utf-8")])
def test_no_arrow_runs_behind_a_box_as_if_it_led_there(roles: str) -> None:
    picture = role_picture(load_policy([SourceFile("roles.yaml", "roles.yaml", roles.encode())]).or_raise())
    layout = layout_of(picture)
    root = ElementTree.fromstring("\n".join(as_svg(picture)))
    paths = [found.get("d", "") for found in root.iter(f"{SVG}path") if (found.get("class") or "").startswith("arrow")]
    assert len(paths) == len(picture.arrows)
    for path in paths:
        for box in layout.boxes:
            inside = [(x, y) for x, y in points_of(path) if box.x < x < box.x + box.width and box.y < y < box.y + box.height]
            assert not inside, (box.title, path)
    lanes = [arrow.lane for arrow in layout.arrows if arrow.lane is not None]
    assert len(lanes) == len(set(lanes))


def test_roles_list_what_the_matrix_gives_them_and_nothing_else(shipped: PolicySet) -> None:
    drawn: dict[str, set[tuple[str, str]]] = {}
    for box in role_picture(shipped).boxes:
        lines = [line.partition(": ") for line in box.hint.split("\n") if line and not line.startswith("not ")]
        drawn[box.id] = {(type_, action.rstrip("*")) for type_, _, names in lines for action in names.split(", ")}
    for row in matrix_rows(shipped):
        for role in shipped.roles.roles:
            inside = {inner for inner in shipped.roles.closure[role] if inner in drawn}
            listed = any((row.resource_type, row.action) in drawn[inner] for inner in inside)
            assert listed == (not row.cells[role].is_no), (role, row.resource_type, row.action)


def test_arrows_are_the_lines_of_the_roles_file() -> None:
    picture = role_picture(small(PAYMENTS))
    assert picture.bands == ("company", "team")
    assert {(arrow.start, arrow.end) for arrow in picture.arrows} == {
        ("owner", "member"),
        ("owner", "head"),
        ("head", "worker"),
    }
    assert {box.id: box.lines for box in picture.boxes} == {
        "owner": ("company: close",),
        "member": ("team: open",),
        "head": ("payment: approve*",),
        "worker": ("payment: create",),
    }


def test_a_feature_leads_from_grantees_over_grants_to_actions() -> None:
    policy = small(PAYMENTS)
    picture = feature_picture(policy, "payment")
    boxes = {box.id: box for box in picture.boxes}
    paths = {
        (boxes[one.start].title, boxes[one.end].kind, boxes[one.end].lines, boxes[other.end].title)
        for one in picture.arrows
        for other in picture.arrows
        if one.end == other.start
    }
    assert paths == {
        ("worker", "allow", ("always",), "create payment"),
        ("head", "allow", ("when resource.amount < 100",), "approve payment"),
        ("anyone", "deny", ("when resource.frozen",), "approve payment"),
    }
    assert {box.title for box in feature_picture(policy, "payments").boxes} >= {"close company", "create payment"}
    with pytest.raises(NoSuchFeature, match='did you mean "payment"'):
        feature_picture(policy, "paymet")


def test_a_change_shows_who_gains_and_who_loses() -> None:
    before = small(PAYMENTS)
    text = PAYMENTS.replace("allow: worker, to: create", "allow: head, to: create").replace("amount < 100", "amount < 900")
    after = small(text)
    picture = change_picture(DifferenceReport(difference_between(before, after), "old", "new"))
    told = {(box.kind, box.lines) for box in picture.boxes if box.column == 1}
    assert ("less", ("before: always", "after: never")) in told
    assert any(kind == "more" and "amount < 900" in lines[-1] for kind, lines in told)
    assert picture.remarks[0].startswith("From old to new: more and less permissive")


def test_no_text_breaks_out_of_a_picture() -> None:
    boxes = (Box("a", HOSTILE, "role", 0, 0, (HOSTILE,), HOSTILE), Box("b", "日本語" * 30, "action", 1))
    picture = Picture(HOSTILE, boxes, (Arrow("a", "b", HOSTILE, True),), (HOSTILE,), (HOSTILE,))
    text = "\n".join(as_svg(picture))
    tree = ElementTree.fromstring(text)
    allowed = {"svg", "title", "style", "defs", "marker", "path", "rect", "g", "text"}
    assert {element.tag.removeprefix(SVG) for element in tree.iter()} <= allowed
    assert "\u202e" not in text
    for line in as_mermaid(picture):
        assert line.isprintable()
        if line.startswith("  %% "):
            continue
        labels = re.findall(r'"([^"]*)"', line)
        assert line.count('"') == 2 * len(labels)
        for label in labels:
            assert not re.search(r"[<>`&]", re.sub(r"<b>|</b>|<br/>", "", label))


def test_pictures_are_well_formed(shipped: PolicySet) -> None:
    for picture in pictures(shipped):
        tree = ElementTree.fromstring("\n".join(as_svg(picture)))
        assert len(tree.findall(f".//{SVG}g")) == len(picture.boxes)
        assert len(tree.findall(f"./{SVG}path")) == len(picture.arrows)
