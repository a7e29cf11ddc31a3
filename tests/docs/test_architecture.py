"""The page on architecture is that of the tree: its rooms, its files, and the layers that imports are held to."""

from __future__ import annotations

import configparser
import re

import pytest
from doc_blocks import ROOT, blocks_of

PAGE = ROOT / "docs" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
SERVER = ROOT / "server" / "klausel"


def rooms() -> list[str]:
    folders = (file.parent.relative_to(SERVER).as_posix() for file in SERVER.rglob("__init__.py"))
    return sorted(set(folders) - {"."})


def layers(contract: str) -> list[str]:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return settings[f"importlinter:contract:{contract}"]["layers"].strip().splitlines()


@pytest.mark.parametrize("room", rooms())
def test_every_room_has_a_paragraph(room: str) -> None:
    assert re.search(rf"^\*\*`{re.escape(room)}`\*\* \w", TEXT, re.MULTILINE)


def test_no_paragraph_is_about_a_room_that_is_gone() -> None:
    assert sorted(re.findall(r"^\*\*`(.+?)`\*\*", TEXT, re.MULTILINE)) == rooms()


def test_every_path_that_is_named_exists() -> None:
    paths = {path for path in re.findall(r"`([\w/.]+)`", TEXT) if "/" in path or path.endswith((".py", ".cfg"))}
    assert paths
    assert {path for path in paths if not (ROOT / path).exists() and not (SERVER / path).exists()} == set()


def test_the_layers_drawn_are_those_of_the_contracts_in_their_order() -> None:
    drawn = [block.text.strip().splitlines() for block in blocks_of(PAGE) if block.kind == "text"]
    assert drawn == [layers("rooms"), layers("rooms-of-core"), layers("rooms-of-storage")]
