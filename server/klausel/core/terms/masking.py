"""Masking: values that must not be written down are replaced in a record, and the record says which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MASKED = "***"
EVERY = "*"

_MASKABLE = {"subject": ("id", "properties"), "action": ("properties",), "resource": ("id", "properties"), "context": ()}


def fault_in_mask(pointer: str) -> str | None:
    """What is wrong with a pointer to what is to be masked, as the end of a sentence; None when it is good."""
    parts = _parts(pointer)
    if not pointer.startswith("/") or len(parts) < 2 or not all(parts):
        return "is no pointer; write it as /resource/properties/email, or /context/* for every member"
    root, first = parts[0], parts[1]
    if root not in _MASKABLE:
        return f"does not start with one of {', '.join(f'/{name}' for name in _MASKABLE)}"
    if root != "context" and (first not in _MASKABLE[root] or (first == "properties") != (len(parts) > 2)):
        allowed = [f"/{root}/{name}" + ("/…" if name == "properties" else "") for name in _MASKABLE[root]]
        return f"names nothing that can be masked there; there are {' and '.join(allowed)}"
    return None


class Masks:
    """What is masked in every record. Pointers are as in RFC 6901; `*` stands for every member or item there."""

    def __init__(self, pointers: Iterable[str] = ()) -> None:
        """Takes pointers in which `fault_in_mask` finds no fault."""
        self._tree: dict[str, Any] = {}
        for pointer in pointers:
            parts = _parts(pointer)
            tree: dict[str, Any] | None = self._tree
            for part in parts[:-1]:
                # None masks all that is below: a longer pointer into the same place adds nothing to it.
                tree = tree.setdefault(part, {}) if tree is not None else None
            if tree is not None:
                tree[parts[-1]] = None

    def __bool__(self) -> bool:
        return bool(self._tree)

    def apply(self, record: dict[str, Any]) -> None:
        """Replaces what is masked, in copies of the values concerned, and lists it under `masked` when there is any.

        A masked text that the reason of a failure repeats is masked there too.
        """
        found: dict[str, object] = {}
        for root, tree in self._tree.items():
            if isinstance(record.get(root), dict):
                record[root] = _masked(record[root], tree, f"/{root}", found)
        if not found:
            return
        record["masked"] = list(found)
        if "failure" in record:
            for value in found.values():
                if isinstance(value, str) and value:
                    record["failure"] = record["failure"].replace(value, MASKED)


def _masked(value: Any, tree: dict[str, Any] | None, pointer: str, found: dict[str, object]) -> Any:
    if tree is None:
        found.setdefault(pointer, value)
        return MASKED
    if isinstance(value, dict):
        return {name: _masked_inside(name, inner, tree, pointer, found) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked_inside(str(index), inner, tree, pointer, found) for index, inner in enumerate(value)]
    return value


def _masked_inside(name: str, value: Any, tree: dict[str, Any], pointer: str, found: dict[str, object]) -> Any:
    for below in _below(tree, name):
        value = _masked(value, below, f"{pointer}/{_escaped(name)}", found)
    return value


def _below(tree: dict[str, Any], key: str) -> list[dict[str, Any] | None]:
    found = [tree[part] for part in (key, EVERY) if part in tree]
    return [None] if None in found else found


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def pointer_text(parts: Iterable[str]) -> str:
    """The pointer that goes through these names."""
    return "".join(f"/{_escaped(part)}" for part in parts)


def pointer_parts(pointer: str) -> tuple[str, ...]:
    """The names that a pointer of `masked` goes through."""
    return tuple(_parts(pointer))
