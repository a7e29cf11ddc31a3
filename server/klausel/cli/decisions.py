"""Commands that ask: `can` and `explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from klausel.cli.completion import complete_action, complete_held, complete_type
from klausel.cli.database_options import Command, assignments_at, database_option
from klausel.cli.formats import format_option
from klausel.cli.moments import moment_in_log, now_option, people_at_option, say_as_of, time_of_question
from klausel.cli.options import EXIT_DENIED, at_option, load_or_exit, model_option
from klausel.cli.output import say, say_json, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.core.analysis.other_model import note_on
from klausel.core.conditions.tree import OWN_ATTRIBUTES
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import Explanation, show_value
from klausel.core.decisions.explain import explain as explain_request
from klausel.core.decisions.explanation_format import explanation_as_json, explanation_lines, reason
from klausel.core.loading.json_values import json_or_text
from klausel.core.policy.assumed_roles import BadAssumption, assumed_roles, deepest_place
from klausel.core.policy.holding import Pairs, Rows, held_at
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import misfits, misspelt
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.request import NOW, Action, Request, Resource, Subject, asked_at
from klausel.service.stored_properties import (
    Finds,
    NothingStored,
    StoredProperties,
    StoredThen,
    join_all,
    names_from_store,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

SOMEBODY = "user:somebody"
"""Who is meant where roles are named and no person."""
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


as_option = click.option(
    "--as",
    "assumed",
    metavar="ROLES",
    shell_complete=complete_held,
    help="In place of SUBJECT: somebody with these roles, such as lead@acme/support or 'lead@acme/support, user@acme'; "
    "anyone: somebody without one. No database is asked. Without --in, it is asked where the deepest role is held.",
)


class Question(click.Command):
    """A command whose first argument is left out where `--as` stands in its place, and all where a record does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the arguments, with an empty SUBJECT beside `--as`, and with a whole question that is empty beside `--record`."""
        own = args[: args.index("--")] if "--" in args else args
        if any(word == "--as" or word.startswith("--as=") for word in own):
            args = ["", *args]
        elif any(word == "--record" or word.startswith("--record=") for word in own) and "--help" not in own:
            args = ["", "", "", *args]
        return super().parse_args(ctx, args)


def _question(command: Command) -> Command:
    """Adds the arguments of a question to a command."""
    for decorate in (
        set_option,
        now_option,
        as_option,
        people_at_option,
        click.option("--in", "domain", metavar="DOMAIN", help="Where it is asked: acme, or acme/support."),
        policies_option,
        click.argument("resource", metavar="TYPE[:ID]", shell_complete=complete_type),
        click.argument("action", shell_complete=complete_action),
        click.argument("subject", metavar="{SUBJECT|--as ROLES}"),
        at_option,
        model_option,
        database_option,
    ):
        command = decorate(command)
    return command


@click.command(cls=Question)
@_question
def can(**options: object) -> None:
    """Say whether SUBJECT may do ACTION to a resource: exit 0 for yes, 3 for no.

    SUBJECT is written type:id. The role assignments come from the database, and are those of now, also with --at;
    with --people-at they are those of that moment, which conditions then take for the present, too. With --as no
    database is asked. Types with colons, such as URNs, are read as they are declared: urn:example:record:7.

    \b
    Examples:
      klausel can --as lead@acme/support edit quiz --set status=published
      klausel can user:leo edit quiz --in acme/support --set status=published
      klausel can user:ann view review:7 --in acme/support --set reviewee=ann
      klausel can user:ann view review:7 --in acme/support --at HEAD~3
      klausel can user:leo edit quiz --in acme/support --set status=published --people-at 2026-03-01
      klausel can user:ann view report --in acme --now 2026-12-31T18:00+01:00
    """
    explanation = _ask(**options)  # type: ignore[arg-type]
    say(reason(explanation))
    raise SystemExit(0 if explanation.decision.allowed else EXIT_DENIED)


@click.command(cls=Question)
@_question
@click.option(
    "--record",
    metavar="FILE:LINE",
    help="In place of a question: a line of a decision log (FILE:LINE:NUMBER where it holds several decisions), or "
    "the record itself as JSON. It is explained by the policies and the role assignments of then.",
)
@format_option(
    {
        "text": lambda explanation: say_lines(explanation_lines(explanation)),
        "json": lambda explanation: say_json(explanation_as_json(explanation), indent=2),
    }
)
def explain(write: Callable[[Explanation], None], record: str | None, **options: object) -> None:
    """Say why SUBJECT may or may not do ACTION to a resource: role, inheritance, grant, condition, nearest grants.

    Takes the arguments of `klausel can` and exits like it.

    \b
    Examples:
      klausel explain --as "lead@acme/support, user@acme" delete quiz
      klausel explain user:leo delete quiz --in acme/support --set creator=ann
      klausel explain user:max edit billing --in acme --format json
      klausel explain --record decisions.jsonl:17
    """
    if record is None:
        explanation = _ask(**options)  # type: ignore[arg-type]
    else:
        from klausel.cli.recorded_question import explain_record  # only who has a record waits for it

        explanation = explain_record(record, **options)  # type: ignore[arg-type]
    write(explanation)
    raise SystemExit(0 if explanation.decision.allowed else EXIT_DENIED)


def _ask(
    subject: str,
    action: str,
    resource: str,
    assumed: str | None,
    domain: str | None,
    values: tuple[str, ...],
    moment: int | None,
    now: int | None,
    policies: Path,
    model: Path | None,
    database: str,
    at: str | None,
) -> Explanation:
    if assumed is not None and moment is not None:
        raise click.UsageError("--people-at asks for the role assignments of then, and --as for none; leave one of them out")
    if assumed is not None and split_subject_key(action) is not None and not policies.exists():
        raise click.UsageError(f"--as stands in place of SUBJECT; leave {action} out, or --as")
    loaded = load_or_exit(policies, model, at=at)
    if loaded.compiled.other_model is not None:
        say(note_on(loaded.compiled.other_model), err=True)
    roles = loaded.compiled.policy.roles
    held: Pairs = ()
    if assumed is not None:
        subject, held, domain = _somebody(roles, assumed, domain)
    else:
        say_as_of(loaded, at, moment)
    request = request_of(loaded.compiled.policy, subject, action, resource, domain, values)
    policy, time = loaded.compiled.policy, time_of_question(now, moment)
    say_lines((f"klausel: {slip}" for slip in _slips(policy, request)), err=True)
    with _known(held if assumed is not None else None, database, moment) as (rows_of, stored):

        def effective_roles_of(key: str) -> EffectiveRoles:
            return EffectiveRoles.of_held(roles, held_at(key, rows_of(key), time.timestamp()))

        asked = asked_at(request, time) if policy.uses_now else request
        (whole,) = join_all(policy, stored, [asked])
        explanation = explain_request(policy, loaded.compiled, effective_roles_of, whole, time.timestamp())
        return replace(explanation, from_store=names_from_store(policy, stored, whole))


def _slips(policy: PolicySet, request: Request) -> Iterator[str]:
    """What `--set` names like something that is declared, or gives otherwise, each as a sentence."""
    declared = policy.declarations(request.resource.type)
    sent = {name: getattr(request, name).properties for name in ENTITIES if name != "context"} | {"context": request.context}
    for holder, properties in sent.items():
        types = declared.of_resource if holder == "resource" else declared.of_others.get(holder)
        for name in properties:
            near = misspelt(name, types) if types and name not in types and name not in declared.naming else None
            if types and near is not None:
                yield f'nothing is declared of {holder}.{name}; did you mean "{near}"? Declared are {", ".join(types)}'
    for attribute, value, type_ in misfits(declared, request):
        yield f"{attribute} is {show_value(value)}, which is not as declared: {type_}"


def _somebody(roles: RoleModel, assumed: str, domain: str | None) -> tuple[str, Pairs, str | None]:
    """Who is asked for by `--as`, which roles that is, and where it is asked."""
    try:
        held = assumed_roles(roles, assumed)
    except BadAssumption as error:
        raise click.BadParameter(str(error), param_hint="--as") from None
    deepest = deepest_place(held)
    where = domain or (None if deepest is None else _as_asked(roles, deepest))
    if domain is None and deepest is None and held:
        raise click.BadParameter("the roles are held in several places; say by --in where it is asked", param_hint="--as")
    words = ", ".join(f"{role} in {place}" for role, place in held) or "no role"
    say(f"klausel: somebody with {words}", err=True)
    return SOMEBODY, held, where


def _as_asked(roles: RoleModel, place: str) -> str | None:
    """The domain that a request names for a place where a role is held: without the parts that are always the same."""
    parts = [part for level, part in zip(roles.levels, place.split("/"), strict=False) if level.constant is None]
    return "/".join(parts) or None


@contextmanager
def _known(held: Pairs | None, database: str, moment: int | None) -> Iterator[tuple[Callable[[str], Rows], Finds]]:
    """Who holds which roles, and what is stored: these roles and nothing, or what the database says, now or as of a moment."""
    if held is not None:
        yield lambda key: Rows(held), NothingStored()
        return
    with known_in_database(database, moment) as (_, rows_of, stored):
        yield rows_of, stored


@contextmanager
def known_in_database(database: str, moment: int | None) -> Iterator[tuple[Engine, Callable[[str], Rows], Finds]]:
    """A database, the rows about a subject there, and what is stored, now or as of a moment."""
    from klausel.storage.entities.store import EntityStore  # who asks no database does not wait for it

    with assignments_at(database) as store:
        if moment is None:
            yield store.engine, store.reader.held_by, StoredProperties(store.reader, keeps=False)
            return
        reader, place = moment_in_log(store.engine, moment)
        yield store.engine, partial(reader.rows_at, moment=place), StoredThen(EntityStore(store.engine), place.number)


def resource_named(types: Iterable[str], written: str) -> tuple[str, str]:
    """The type and id that TYPE[:ID] names: the longest type that is declared, else all before the first colon.

    A colon and a slash in the type may also be written as in subjects, %3A and %2F.
    """
    declared = max((one for one in types if f"{written}:".startswith(f"{one}:")), key=len, default=None)
    if declared is not None:
        return declared, written[len(declared) + 1 :]
    return split_subject_key(written if ":" in written else f"{written}:") or (written, "")


def request_of(
    policy: PolicySet, subject: str, action: str, resource: str, domain: str | None, values: Iterable[str]
) -> Request:
    """The request that people write; raises BadParameter."""
    roles = policy.roles
    parts = split_subject_key(subject)
    if parts is None:
        raise click.BadParameter(f'write it as type:id, such as "user:{subject}"', param_hint="SUBJECT")
    properties: dict[str, dict[str, object]] = {entity: {} for entity in ENTITIES}
    type_, id_ = resource_named(policy.resource_types, resource)
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
    if entity == "context" and path[0] == NOW:
        raise click.BadParameter("context.now is the clock; say the time with --now", param_hint="--set")
    if len(path) == 1 and path[0] in OWN_ATTRIBUTES.get(entity, ()):
        message = f'{entity}.{path[0]} is no property; say it in the argument {_ARGUMENTS[entity]} instead of "{text}"'
        raise click.BadParameter(message, param_hint="--set")
    holder: object = properties[entity]
    for part in path[:-1]:
        holder = holder.setdefault(part, {}) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or path[-1] in holder:
        message = (
            f"{entity}.{'.'.join(path)} is given twice; the place (by --in or --as) and each --set say different things"
        )
        raise click.BadParameter(message, param_hint="--set")
    holder[path[-1]] = json_or_text(value)
