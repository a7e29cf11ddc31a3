"""What keeps something is found in the code, and whether it has a bound."""

import ast
from pathlib import Path

import pytest
from caches_in_code import code_of, has_bound, keepers


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("class Verdicts:\n def __init__(self):\n  self._by_person: dict[str, bool] = {}\n", "Verdicts"),
        (
            "@dataclass\nclass Verdicts:\n kept: dict[str, bool] = field(default_factory=dict)\n"
            " def keep(self, who):\n  self.kept[who] = True\n",
            "Verdicts",
        ),
        ("KEPT: dict[str, bool] = {}\ndef keep(who):\n KEPT.setdefault(who, True)\n", "KEPT"),
        ("@lru_cache(100)\ndef verdict(who):\n return True\n", "verdict"),
        ("class Verdicts:\n def __init__(self):\n  self.of = lru_cache(100)(self._read)\n", "Verdicts"),
        ("verdict = lru_cache(read)\n", "verdict"),
        ("class Verdicts:\n @cached_property\n def everybody(self):\n  return read()\n", "Verdicts.everybody"),
        ("class Verdicts:\n def __init__(self):\n  self._allowed: set[str] = set()\n", "Verdicts"),
        ("class Verdicts:\n def __init__(self):\n  self._kept, self._size = {}, 0\n", "Verdicts"),
        (
            "class Verdicts:\n def __init__(self):\n  self._last: tuple[str, bool] | None = None\n"
            " def of(self, who):\n  self._last = who, True\n",
            "Verdicts",
        ),
        ("@dataclass\nclass Verdicts:\n kept: dict[str, bool] = field(default_factory=dict)\n", "Verdicts"),
        (
            "def routes(service):\n kept = {}\n @blueprint.get('/')\n def page(who):\n  kept[who] = True\n return blueprint\n",
            "routes",
        ),
        (
            "def reader(service):\n kept = {}\n def read(who):\n  return kept.setdefault(who, True)\n return read\n",
            "reader",
        ),
    ],
)
def test_what_keeps_something_is_found_however_it_is_written(tmp_path: Path, source: str, name: str) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "verdicts.py").write_text(source)
    assert list(keepers(tmp_path)) == [f"service.verdicts.{name}"]


@pytest.mark.parametrize(
    "source",
    [
        "class Verdicts:\n def __init__(self):\n  self.limits: dict[str, int] = dict(SETTINGS)\n",
        "class Verdicts:\n def __init__(self):\n  self._names: tuple[str, ...] = ()\n def read(self):\n  self._names = read()\n",
        "@dataclass\nclass Question:\n context: Mapping[str, object] = field(default_factory=dict)\n",
        "def depths(rows):\n found = {}\n def add(row):\n  found[row] = 1\n for row in rows:\n  add(row)\n return found\n",
    ],
)
def test_what_keeps_nothing_is_not(tmp_path: Path, source: str) -> None:
    (tmp_path / "verdicts.py").write_text(source)
    assert keepers(tmp_path) == {}


def test_a_class_is_found_by_its_name_and_a_name_of_a_module_by_the_module(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "verdicts.py").write_text("KEPT = {}\nclass Verdicts:\n pass\n")
    assert isinstance(code_of(tmp_path, "service.verdicts.Verdicts"), ast.ClassDef)
    assert isinstance(code_of(tmp_path, "service.verdicts.KEPT"), ast.Module)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class Kept:\n def keep(self, who):\n  self.kept[who] = True\n", False),
        ("class Kept:\n def keep(self, who):\n  while len(self.kept) > MOST_KEPT:\n   self.kept.popitem()\n", True),
        ("@cache\ndef kept(who):\n return True\n", False),
        ("@lru_cache(maxsize=None)\ndef kept(who):\n return True\n", False),
        ("@lru_cache(maxsize=16)\ndef kept(who):\n return True\n", True),
        ("@lru_cache\ndef kept(who):\n return True\n", True),
    ],
)
def test_a_cache_without_a_bound_is_found(source: str, expected: bool) -> None:
    assert has_bound(ast.parse(source).body[0]) == expected
