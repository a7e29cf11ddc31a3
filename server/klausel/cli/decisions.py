"""Commands that ask: `can` and `explain`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import click

from klausel.cli.database_options import Command, database_option, explains_storage_errors, open_existing_database
from klausel.cli.moments import moment_in_log, people_at_option, say_as_of
from klausel.cli.options import EXIT_DENIED, at_option, load_or_exit, model_option, policies_option
from klausel.cli.output import say, say_json, say_lines
from klausel.core.conditions.tree import OWN_ATTRIBUTES
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import Explanation
from klausel.core.decisions.explain import explain as explain_request
from klausel.core.decisions.explanation_format import explanation_as_json, explanation_lines, reason
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.change_log.reader import Pairs

ENTITIES = ("subject", "resource", "action", "context")
_ARGUMENTS = {"subject": "SUBJECT", "resource": "TYPE[:ID]", "action": "ACTION"}


set_option = click.option(
    "--set",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    help="Property of the resource; of another entity with its name before: subject.team=blue, context.ip=::1. "
    "A dot leads into an object: team.name=blue. true, false, numbers and JSON are read as such, anything else is "
    "text; text that looks like one of these needs quotes: 'owner=\"12\"'.",
)


def _question(command: Command) -> Command:
    """Adds the arguments of a question to a command."""
    for decorate in (
        set_option,
        people_at_option,
        click.option("--in", "domain", metavar="DOMAIN", help="Where it is asked: acme, or acme/support."),
        click.argument("resource", metavar="TYPE[:ID]"),
        click.argument("action"),
        click.argument("subject"),
        at_option,
        policies_option,
        model_option,
        database_option,
    ):
        command = decorate(command)
    return command


@click.command()
@_question
@explains_storage_errors
def can(**options: object) -> None:
    """Say whether SUBJECT may do ACTION to a resource: exit 0 for yes, 3 for no.

    SUBJECT is written type:id. The role assignments come from the database, and are those of now, also with --at;
    with --people-at they are those of that moment.

    \b
    Examples:
      klausel can user:leo edit quiz --in acme/support --set status=published
      klausel can user:ann view review:7 --in acme/support --set reviewee=ann
      klausel can user:ann view review:7 --in acme/support --at HEAD~3
      klausel can user:leo edit quiz --in acme/support --set status=published --people-at 2026-03-01
    """
    explanation = _ask(**options)  # type: ignore[arg-type]
    say(reason(explanation))
    raise SystemExit(0 if explanation.decision.allowed else EXIT_DENIED)


@click.command()
@_question
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@explains_storage_errors
def explain(format_: str, **options: object) -> None:
    """Say why SUBJECT may or may not do ACTION to a resource: role, inheritance, grant, condition, nearest grants.

    Takes the arguments of `klausel can` and exits like it.

    \b
    Examples:
      klausel explain user:leo delete quiz --in acme/support --set creator=ann
      klausel explain user:max edit billing --in acme --format json
    """
    explanation = _ask(**options)  # type: ignore[arg-type]
    if format_ == "json":
        say_json(explanation_as_json(explanation), indent=2)
    else:
        say_lines(explanation_lines(explanation))
    raise SystemExit(0 if explanation.decision.allowed else EXIT_DENIED)


def _ask(
    subject: str,
    action: str,
    resource: str,
    domain: str | None,
    values: tuple[str, ...],
    moment: int | None,
    policies: Path,
    model: Path | None,
    database: str,
    at: str | None,
) -> Explanation:
    loaded = load_or_exit(policies, model, at=at)
    say_as_of(loaded.commit.id if at is not None and loaded.commit is not None else None, moment)
    policy = loaded.compiled.policy
    request = _request(policy.roles, subject, action, resource, domain, values)
    with closing(AssignmentStore(open_existing_database(database))) as store:
        held_by: Callable[[str], Pairs] = store.held_by
        if moment is not None:
            reader, place = moment_in_log(store.engine, moment)
            held_by = partial(reader.held_by_at, moment=place)

        def effective_roles_of(key: str) -> EffectiveRoles:
            return EffectiveRoles.of(policy.roles, held_by(key))

        return explain_request(policy, loaded.compiled, effective_roles_of, request)


def _request(
    roles: RoleModel, subject: str, action: str, resource: str, domain: str | None, values: tuple[str, ...]
) -> Request:
    parts = split_subject_key(subject)
    if parts is None:
        raise click.BadParameter(f'write it as type:id, such as "user:{subject}"', param_hint="SUBJECT")
    properties: dict[str, dict[str, object]] = {entity: {} for entity in ENTITIES}
    type_, _, id_ = resource.partition(":")
    ids = [] if domain is None else domain.split("/")
    if not all(ids):
        raise click.BadParameter(f'"{domain}" has an empty part; write it as acme, or acme/support', param_hint="--in")
    named = [level for level in roles.levels if level.constant is None]
    if len(ids) > len(named):
        form = "/".join(level.name for level in named) or "nothing; the policies have one constant domain"
        raise click.BadParameter(f'"{domain}" has more parts than there are levels; write {form}', param_hint="--in")
    for level, part in zip(named, ids, strict=False):
        if level.named_by is not None:
            properties["resource"][level.named_by] = part
        if level.identified_by == type_ and not id_:
            id_ = part
    for value in values:
        set_property(properties, value)
    return Request(
        Subject(parts[0], parts[1], properties["subject"]),
        Action(action, properties["action"]),
        Resource(type_, id_, properties["resource"]),
        properties["context"],
    )


def set_property(properties: dict[str, dict[str, object]], text: str) -> None:
    """Reads one `--set NAME=VALUE` into the properties by entity; raises BadParameter."""
    name, equals, value = text.partition("=")
    path = name.split(".")
    if not equals or not all(path):
        raise click.BadParameter(f'"{text}" is not NAME=VALUE, such as owner=ann', param_hint="--set")
    entity = path.pop(0) if path[0] in ENTITIES and len(path) > 1 else "resource"
    if len(path) == 1 and path[0] in OWN_ATTRIBUTES.get(entity, ()):
        message = f'{entity}.{path[0]} is no property; say it in the argument {_ARGUMENTS[entity]} instead of "{text}"'
        raise click.BadParameter(message, param_hint="--set")
    holder: object = properties[entity]
    for part in path[:-1]:
        holder = holder.setdefault(part, {}) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or path[-1] in holder:
        message = f"{entity}.{'.'.join(path)} is given twice; --in and each --set say different things"
        raise click.BadParameter(message, param_hint="--set")
    holder[path[-1]] = _value(value)


def _value(text: str) -> object:
    def refuse(constant: str) -> object:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text
