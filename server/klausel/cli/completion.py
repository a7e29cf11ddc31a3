"""What Tab completes in a shell: the names that the policy files declare, read as far as they can be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from klausel.cli.policy_folder import find_policies
from klausel.core.loading.declared_names import DeclaredNames, declared_names
from klausel.core.policy.roles import ANYONE
from klausel.storage.file_rules import DEFAULT_MODEL
from klausel.storage.policy_files.folder import are_folders, folders_of, read_files


def _names(context: click.Context) -> DeclaredNames | None:
    """The names of the policy set that the command line means so far; None where there is no such folder."""
    folder = context.params.get("policies")
    folder = folders_of(folder)[0] if isinstance(folder, Path) and are_folders(folder) else find_policies()
    return declared_names(read_files(folder, DEFAULT_MODEL)[0])[0] if folder.is_dir() else None


def _items(names: Iterable[str], start: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in sorted(set(names)) if name.startswith(start)]


def complete_action(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Actions, of the type where one is named already."""
    names = _names(context)
    if names is None:
        return []
    type_ = str(context.params.get("resource_type") or context.params.get("resource") or "").partition(":")[0]
    return _items(names.resource_types.get(type_, names.actions), start)


def complete_type(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Resource types, those that have the action where one is named already."""
    names = _names(context)
    if names is None:
        return []
    action = context.params.get("action")
    return _items((name for name, actions in names.resource_types.items() if action is None or action in actions), start)


def complete_role(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Roles."""
    names = _names(context)
    return [] if names is None else _items(names.roles, start)


def complete_held(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Roles that somebody is assumed to hold, with an at sign for the place; the last one of several."""
    names = _names(context)
    if names is None:
        return []
    before, comma, last = start.rpartition(",")
    blanks = last[: len(last) - len(last.lstrip())]
    held = [f"{role}@" for role in names.roles] + [ANYONE]
    return _items((f"{before}{comma}{blanks}{one}" for one in held), start)


def complete_problem(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Ids of problems."""
    from klausel.core.lint.registry import PAGES  # no other command waits for the rules of lint

    return _items(PAGES, start)
