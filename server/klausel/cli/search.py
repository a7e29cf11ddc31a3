"""Commands that search: `who-can` and `what-can`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import click
from sqlalchemy import Engine

from klausel.cli.completion import complete_action, complete_type
from klausel.cli.database_options import database_option
from klausel.cli.decisions import ENTITIES, known_in_database, resource_named, set_option, set_property
from klausel.cli.formats import format_option
from klausel.cli.moments import moment_in_log, now_option, people_at_option, say_as_of, time_of_question
from klausel.cli.options import at_option, check_declared, load_or_exit, model_option, say_other_model, with_other_model
from klausel.cli.output import say, say_json
from klausel.cli.policy_folder import policies_option
from klausel.core.analysis.condition_wording import names_used
from klausel.core.analysis.matrix import matrix_row
from klausel.core.analysis.permission import Question, given_values, question_in
from klausel.core.analysis.search import Found, Holders, holders_that_matter, what_can, who_can
from klausel.core.analysis.search_format import found_as_json, reasons_text, verdict_text
from klausel.core.decisions.domain import BadDomain, domain_written
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.holding import held_at
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import fault_in_subject, split_subject_key
from klausel.core.terms.request import Request, asked_at
from klausel.service.pipeline import LoadedPolicy
from klausel.service.stored_properties import (
    Finds,
    StoredOfSubjects,
    looked_up,
    resource_key_of,
    with_stored_subject,
)
from klausel.storage.assignments.holders import people_who_hold


class _Text:
    """Writes what a search finds, piece by piece as it is found; first of all, that the analysis does not speak for the model."""

    def __init__(self, loaded: LoadedPolicy) -> None:
        self._type_shown: str | None = None
        self.say_other_model(loaded)

    def say_other_model(self, loaded: LoadedPolicy) -> None:
        say_other_model(loaded)

    def introduce(self, question: Question) -> None:
        """Shows the grants that the lines below refer to, with their conditions and what they are for."""
        where = f" in {question.domain}" if question.domain else ", where no domain is named"
        say(f"{question.action} {question.resource_type}{where}:")
        for grant in question.grants:
            say(f"  {grant.source}: {grant}")
            if grant.written is not None and grant.condition_text != str(grant.written):
                say(f"    that is, when {grant.written}")
            if grant.because:
                say(f"    because: {grant.because}")
        say()

    def person(self, found: Found) -> None:
        """Somebody who may."""
        say(f"{found.subject}  {verdict_text(found)}  ({reasons_text(found)})")

    def thing(self, found: Found, where: str) -> None:
        """Something that the subject may do, asked about in a domain."""
        if found.resource_type != self._type_shown:
            self._type_shown = found.resource_type
            say(found.resource_type)
        elsewhere = "" if found.domain == where else f", asked in {found.domain or 'no domain'}"
        say(f"  {found.action}{elsewhere}  {verdict_text(found)}  ({reasons_text(found)})")

    def nothing(self) -> None:
        """That there was no such thing."""
        say("nothing", err=True)

    def roles(self, policy: PolicySet, type_: str, action: str) -> None:
        """The roles that may, whoever holds them."""
        row = matrix_row(policy, type_, action)
        for role, cell in row.cells.items():
            if not cell.is_no:
                say(f"{role}  {cell.text}")
        for one in names_used((cell.text for cell in row.cells.values()), policy.conditions):
            say(f"  {one.name}: {one.text}")


class _Json(_Text):
    """The same as JSON: each line is an object that was found."""

    def say_other_model(self, loaded: LoadedPolicy) -> None:
        if loaded.compiled.other_model is not None:
            say_json(with_other_model(loaded, {}))

    def introduce(self, question: Question) -> None:
        """Nothing: no object was found."""

    def person(self, found: Found) -> None:
        say_json(found_as_json(found))

    def thing(self, found: Found, where: str) -> None:
        say_json(found_as_json(found))

    def nothing(self) -> None:
        """Nothing: no object says it."""

    def roles(self, policy: PolicySet, type_: str, action: str) -> None:
        for role, cell in matrix_row(policy, type_, action).cells.items():
            say_json({"role": role, "action": action, "type": type_, "may": cell.text})


searched_option = format_option({"text": _Text, "json": _Json}, help="json: one object a line.")


@click.command("who-can")
@click.argument("action", shell_complete=complete_action)
@click.argument("resource", metavar="TYPE[:ID]", shell_complete=complete_type)
@click.option("--in", "domain", metavar="DOMAIN", help="Where: acme, or acme/support. Without it, roles are listed.")
@set_option
@click.option("--after", default="", metavar="SUBJECT", help="Go on after this subject, as type:id.")
@click.option("--limit", type=click.IntRange(min=1), help="Show at most so many; without it, all.")
@searched_option
@now_option
@people_at_option
@at_option
@policies_option
@model_option
@database_option
def who_can_command(
    action: str,
    resource: str,
    domain: str | None,
    values: tuple[str, ...],
    after: str,
    limit: int | None,
    write: type[_Text],
    now: int | None,
    moment: int | None,
    at: str | None,
    policies: Path,
    model: Path | None,
    database: str,
) -> None:
    """List everyone who may do ACTION to a resource in a domain: always, or when a condition holds, and why.

    Sorted by subject and shown as they are found. Stored properties of the people, and of the resource where its id is
    named, count as in a decision. What neither they nor --set say is left open, and the conditions about it are shown; of
    people without a role that matters only the line of `anyone` speaks. The time is the clock's, that of --people-at or
    that of --now. Without --in the roles are listed that may; that needs no database. With --at and --people-at the
    policies, the role assignments and what is stored are those of then; the latter goes through the whole change log.

    \b
    Examples:
      klausel who-can edit quiz
      klausel who-can edit quiz --in acme/support
      klausel who-can edit quiz --in acme/support --set status=published --limit 20
      klausel who-can delete quiz --in acme/support --at v1.2 --people-at 2026-01-15
      klausel who-can edit quiz --in acme/support --now 2026-12-31T18:00+01:00
    """
    loaded = load_or_exit(policies, model, at=at)
    policy = loaded.compiled.policy
    type_, id_ = resource_named(policy.resource_types, resource)
    check_declared(policy, type_, action)
    writer = write(loaded)
    if domain is None:
        if moment is not None:
            raise click.UsageError("--people-at goes with --in; without a domain, roles are listed and not people")
        if now is not None:
            raise click.UsageError("--now goes with --in; without a domain, roles are listed with the times of their grants")
        writer.roles(policy, type_, action)
        return
    where = domain_named(policy.roles, domain)
    time = time_of_question(now, moment)
    given = asked_at(given_values(id_, _properties(policy.roles, values)), time)
    if isinstance(bad := question_in(policy, type_, action, where, given), BadDomain):
        raise click.BadParameter(bad.reason, param_hint="--in")
    say_as_of(loaded, at, moment)
    with known_in_database(database, moment) as (engine, _, stored):
        question = question_in(policy, type_, action, where, _with_stored_resource(policy, stored, given, type_, where))
        assert not isinstance(question, BadDomain)
        of_subjects = StoredOfSubjects(policy, stored)
        people = people_with_effective_roles(
            engine, policy.roles, holders_that_matter(policy.roles, question), moment, after, time.timestamp()
        )
        found = who_can(policy.roles, question, of_subjects.ahead(people), not after, of_subjects.of)
        writer.introduce(question)
        shown = None
        for shown in islice(found, limit):
            writer.person(shown)
        if shown is None:
            say("nobody" + (f" after {after}" if after else ""), err=True)
        elif limit is not None and next(found, None) is not None:
            say(f"there are more; go on with --after {shown.subject}", err=True)


def _with_stored_resource(policy: PolicySet, stored: Finds, given: Request, type_: str, where: str) -> Request:
    """What is known with what is stored of the resource; raises BadParameter for one that lies elsewhere."""
    resource = given.resource
    key = resource_key_of(policy, given._replace(resource=resource._replace(type=type_))) if resource.id else None
    entity = None if key is None else looked_up(policy, stored, [key]).get(key)
    if entity is None:
        return given
    if entity.domain and entity.domain != where:
        raise click.BadParameter(f"{entity.name} is stored in {entity.domain}; ask there", param_hint="--in")
    return given._replace(resource=resource._replace(properties={**resource.properties, **entity.properties}))


def people_with_effective_roles(
    engine: Engine, roles: RoleModel, holders: Holders, moment: int | None, after: str = "", now: float | None = None
) -> Iterator[tuple[str, EffectiveRoles]]:
    """Those who hold these roles now, or held them at a moment, with their effective roles; sorted, those after `after`.

    `now`, in seconds since 1970, is the time by which roles with times count; the clock's, or that of the moment, unless said.
    """
    if moment is None:
        found = people_who_hold(engine, holders, after, now)
    else:
        reader, place = moment_in_log(engine, moment)
        found = reader.people_who_held(place, holders, after, now)
    return ((key, EffectiveRoles.of_held(roles, held)) for key, held in found)


@click.command("what-can")
@click.argument("subject")
@click.option("--in", "domain", metavar="DOMAIN", required=True, help="Where: acme, or acme/support.")
@set_option
@searched_option
@now_option
@people_at_option
@at_option
@policies_option
@model_option
@database_option
def what_can_command(
    subject: str,
    domain: str,
    values: tuple[str, ...],
    write: type[_Text],
    now: int | None,
    moment: int | None,
    at: str | None,
    policies: Path,
    model: Path | None,
    database: str,
) -> None:
    """List all that SUBJECT (type:id) may do to things in a domain: always, or when a condition holds, and why.

    Answers about that domain alone, not about those below it; what is asked further up, such as creating a
    workspace, is answered there. Stored properties of SUBJECT count as in a decision.

    \b
    Examples:
      klausel what-can user:ann --in acme/support
      klausel what-can user:ann --in acme --format json
      klausel what-can user:ann --in acme/support --people-at 2026-01-15
      klausel what-can user:ann --in acme/support --now 2026-12-31T18:00+01:00
    """
    loaded = load_or_exit(policies, model, at=at)
    policy = loaded.compiled.policy
    parts = split_subject_key(subject)
    if parts is None or fault_in_subject(*parts):
        fault = f"the subject {fault_in_subject(*parts)}" if parts else f'write it as type:id, such as "user:{subject}"'
        raise click.BadParameter(fault, param_hint="SUBJECT")
    where = domain_named(policy.roles, domain)
    time = time_of_question(now, moment)
    given = asked_at(given_values("", _properties(policy.roles, values)), time)
    writer = write(loaded)
    say_as_of(loaded, at, moment)
    with known_in_database(database, moment) as (_, rows_of, stored):
        effective_roles = EffectiveRoles.of_held(policy.roles, held_at(subject, rows_of(subject), time.timestamp()))
        given = with_stored_subject(policy, stored, subject, given)
    found = None
    for found in what_can(policy, subject, effective_roles, where, given):
        writer.thing(found, where)
    if found is None:
        writer.nothing()


def _properties(roles: RoleModel, values: tuple[str, ...]) -> Mapping[str, Mapping[str, object]]:
    properties: dict[str, dict[str, object]] = {entity: {} for entity in ENTITIES}
    for value in values:
        set_property(properties, value)
    named = {level.named_by for level in roles.levels} & set(properties["resource"])
    if named:
        raise click.BadParameter(f"resource.{min(map(str, named))} is said by --in", param_hint="--set")
    return properties


def domain_named(roles: RoleModel, text: str) -> str:
    """The whole domain that people name, with the constant parts that they need not write; raises BadParameter."""
    domain = domain_written(roles, text)
    if isinstance(domain, BadDomain):
        raise click.BadParameter(domain.reason, param_hint="--in")
    return domain
