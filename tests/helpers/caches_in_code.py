"""What in the code of the server keeps something by a key, found by how it is written; and whether it has a bound."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

NOT_PURE = ("api", "casbin", "casbin_policies", "client", "django", "service", "storage")
"""The rooms in which answers can be kept from one question to the next; `core` keeps what is made of equal values alone."""
_FILLING = {"setdefault", "update", "add"}
_KEEPING = {"dict", "OrderedDict", "defaultdict", "WeakKeyDictionary", "WeakValueDictionary", "set", "WeakSet"}
_DECORATORS = {"cache", "lru_cache", "cached_property"}
_MOST = re.compile(r"\bmost|_max_", re.IGNORECASE)
_HELD = re.compile(r"\blen\(|self\._bytes")
_BY_ITSELF = ("lru_cache", "functools.lru_cache")
_ONE_ANSWER = re.compile(r"tuple\[(?!\w+, \.\.\.\]).+\]( \| None)?")


@cache
def keepers(package: Path) -> dict[str, set[str]]:
    """All that keeps something outside of `core`: classes, with the attributes that do, and functions."""
    found: dict[str, set[str]] = {}
    files = [*package.glob("*.py"), *(file for room in NOT_PURE for file in (package / room).rglob("*.py"))]
    for file in files:
        module = ".".join(file.relative_to(package).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for owner, what in _kept_in(tree, "", ""):
            found.setdefault(f"{module}.{owner}", set()).update({what} if what else set())
    return found


def has_bound(node: ast.AST) -> bool:
    """Whether something compares how much it holds with the most that it may, or `lru_cache` does so for it."""
    compared = [ast.unparse(one) for one in ast.walk(node) if isinstance(one, ast.Compare)]
    made = [ast.unparse(one) for one in ast.walk(node) if isinstance(one, ast.Call)]
    made += map(ast.unparse, getattr(node, "decorator_list", ()))
    is_compared = any(_MOST.search(text) and _HELD.search(text) for text in compared)
    return is_compared or any(text.startswith(_BY_ITSELF) and "None" not in text for text in made)


def code_of(package: Path, name: str) -> ast.AST:
    """The class or function of a name that `keepers` gave; of a name of a module, the module."""
    file, owner = _file_of(package, name)
    found: ast.AST = ast.parse(file.read_text(encoding="utf-8"))
    for part in owner:
        found = next((one for one in ast.walk(found) if getattr(one, "name", None) == part), found)
    return found


def _file_of(package: Path, name: str) -> tuple[Path, list[str]]:
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        file = package.joinpath(*parts[:split]).with_suffix(".py")
        if file.is_file():
            return file, parts[split:]
    raise LookupError(name)


def _kept_in(scope: ast.AST, name: str, class_: str) -> Iterator[tuple[str, str]]:
    """Who keeps something, with the attribute that does: a class, a function, or a name of the module."""
    if isinstance(scope, ast.ClassDef):
        yield from ((name, attribute) for attribute in {*_attributes(scope), *_fields(scope)})
    elif isinstance(scope, ast.Module):
        yield from ((one, "") for one in _names_of_module(scope))
    elif any(_called(one) in _DECORATORS for one in scope.decorator_list) or _is_filled_by_what_it_gives_away(scope):  # type: ignore[attr-defined]
        yield name, ""
    for one in _own_nodes(scope):
        if isinstance(one, ast.Call) and _called(one.func) in _DECORATORS and name:
            yield (class_ or name), ""
        if isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{name}.{one.name}" if name else one.name
            yield from _kept_in(one, inner, inner if isinstance(one, ast.ClassDef) else class_)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """What stands in a scope, and not in the classes and functions inside of it; those themselves, too."""
    decorators = {id(one) for one in getattr(scope, "decorator_list", ())}
    waiting = [one for one in ast.iter_child_nodes(scope) if id(one) not in decorators]
    while waiting:
        one = waiting.pop()
        yield one
        if not isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(one)


def _called(node: ast.AST) -> str:
    return ast.unparse(node).split("(")[0].split("[")[0].split(".")[-1]


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, str]]:
    """Each target of an assignment with its value and its declared type."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        yield node.target, node.value, ast.unparse(node.annotation)
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from ((one, value, "") for one, value in zip(target.elts, node.value.elts, strict=False))
            else:
                yield target, node.value, ""


def _attributes(class_: ast.ClassDef) -> Iterator[str]:
    """Attributes that begin empty, or that hold one answer with what it is the answer to."""
    stored = [one.attr for one in ast.walk(class_) if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)]
    for node in ast.walk(class_):
        for target, value, type_ in _assigned(node):
            if isinstance(target, ast.Attribute):
                values = (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,)
                if any(map(_is_empty, values)) or (_ONE_ANSWER.fullmatch(type_) and stored.count(target.attr) > 1):
                    yield target.attr


def _fields(class_: ast.ClassDef) -> Iterator[str]:
    """Fields that begin empty, and that can be filled: by the class, or by anybody, as they are declared as a dict."""
    filled = _filled(class_)
    for node in class_.body:
        for target, value, type_ in _assigned(node):
            if _is_empty(value) and (_called_type(type_) in _KEEPING or ast.unparse(target) in filled):
                yield ast.unparse(target)


def _names_of_module(module: ast.Module) -> Iterator[str]:
    filled = _filled(module)
    for node in module.body:
        for target, value, type_ in _assigned(node):
            is_made = isinstance(value, ast.Call) and _called(value.func) in _DECORATORS
            if is_made or (_is_empty(value) and (_called_type(type_) in _KEEPING or ast.unparse(target) in filled)):
                yield ast.unparse(target)


def _is_filled_by_what_it_gives_away(function: ast.AST) -> bool:
    """Whether a function begins something empty that functions inside of it fill, of which one outlives the call."""
    own = list(_own_nodes(function))
    begun = {ast.unparse(target) for node in own for target, value, _ in _assigned(node) if _is_empty(value)}
    inner = [one for one in own if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    called = {id(one.func) for one in ast.walk(function) if isinstance(one, ast.Call)}
    given = {one.id for one in own if isinstance(one, ast.Name) and id(one) not in called}
    lives_on = any(one.decorator_list or one.name in given for one in inner)
    return lives_on and any(begun & _filled(one) for one in inner)


def _filled(scope: ast.AST) -> set[str]:
    holders = [one.value for one in ast.walk(scope) if isinstance(one, ast.Subscript) and isinstance(one.ctx, ast.Store)]
    holders += [one.value for one in ast.walk(scope) if isinstance(one, ast.Attribute) and one.attr in _FILLING]
    return {ast.unparse(holder).removeprefix("self.") for holder in holders}


def _called_type(type_: str) -> str:
    return type_.split("[")[0].split(".")[-1]


def _is_empty(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        factory = next((word.value for word in value.keywords if word.arg == "default_factory"), None)
        made = _called(value.func if factory is None else factory)
        return made in _KEEPING and not (factory is None and made in {"dict", "set"} and (value.args or value.keywords))
    return isinstance(value, ast.Dict) and not value.keys
