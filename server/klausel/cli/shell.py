"""The command `shell`: a prompt at which questions are asked, of the policies as they are on disk at that moment."""

from __future__ import annotations

import cmd
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click

from klausel.cli.database_options import assignments_at, database_option
from klausel.cli.decisions import SOMEBODY, request_of
from klausel.cli.moments import time_of_question
from klausel.cli.options import load_or_exit, model_option, read_policies
from klausel.cli.output import say, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.core.analysis.permission import given_values
from klausel.core.analysis.search import what_can
from klausel.core.analysis.search_format import reasons_text, verdict_text
from klausel.core.conditions.tree import atoms, attributes_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import Explanation, explain
from klausel.core.decisions.explanation_format import explanation_lines, reason
from klausel.core.policy.assumed_roles import BadAssumption, assumed_roles, deepest_place
from klausel.core.policy.holding import Pairs
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.problem import PolicyError
from klausel.core.terms.request import asked_at
from klausel.service.pipeline import LoadedPolicy, load_files
from klausel.service.stored_properties import StoredProperties, join_all, names_from_store, with_stored_subject
from klausel.storage.git.objects import GitError
from klausel.storage.sql.database import StorageError

_DELIMITERS = " \t\n,"


@click.command()
@policies_option
@model_option
@database_option
def shell(policies: Path, model: Path | None, database: str) -> None:
    """Ask questions at a prompt: who you are, what you may do, and why; Tab completes roles, actions, types and properties.

    The files are read again before each question, so a line can be changed in an editor and the question asked again. A
    database is opened only for people who are named in it.

    \b
    Example:
      klausel shell
    """
    loaded = load_or_exit(policies, model)
    Shell(policies, model, database, loaded).cmdloop()


class Shell(cmd.Cmd):
    """The prompt. What it is asked, it answers on standard output; a mistake is told in one line, and the prompt goes on."""

    intro = "Questions about the policies; `help` lists what can be said, Tab completes, `quit` ends."
    doc_header = "What can be said (help WORD says more):"
    prompt = "klausel> "
    identchars = cmd.Cmd.identchars + "-"

    def __init__(self, policies: Path, model: Path | None, database: str, loaded: LoadedPolicy) -> None:
        super().__init__()
        self._policies, self._model, self._database = policies, model, database
        self._loaded = loaded
        self._subject = SOMEBODY
        self._held: Pairs = ()
        self._where: str | None = None
        self._asked: tuple[str, ...] = ()
        self._answer: Explanation | None = None

    def preloop(self) -> None:
        """Lets Tab complete words with signs in them, such as lead@acme/support."""
        try:
            import readline
        except ImportError:
            return
        readline.set_completer_delims(_DELIMITERS)

    def do_as(self, line: str) -> None:
        """as ROLE@PLACE, …: be somebody with these roles; as user:ann: be somebody of the database; as anyone: without a role."""
        roles = self._loaded.compiled.policy.roles
        if not line.strip():
            self._say_who()
            return
        if split_subject_key(line.strip()) and "@" not in line:
            try:
                with assignments_at(self._database) as store:
                    self._subject, self._held = line.strip(), tuple(store.held_by(line.strip()))
            except (StorageError, SystemExit) as error:
                self._tell(str(error) if isinstance(error, StorageError) else "so nobody of it can be named; say roles")
                return
        else:
            try:
                self._subject, self._held = SOMEBODY, assumed_roles(roles, line)
            except BadAssumption as error:
                self._tell(str(error))
                return
        self._where = deepest_place(tuple(self._held)) or self._where
        self._say_who()

    def do_in(self, line: str) -> None:
        """in PLACE: where questions are asked, such as acme or acme/support."""
        self._where = line.strip() or None
        self._say_who()

    def do_can(self, line: str) -> None:
        """can ACTION TYPE[:ID] [NAME=VALUE …]: may I do this? Names are properties of the resource, or context.x, subject.x."""
        try:
            words = tuple(shlex.split(line))
        except ValueError as error:
            self._tell(f"{error}; close the quote")
            return
        if len(words) < 2:
            self._tell("say an action and a type, such as: can edit document status=open")
            return
        self._asked = words
        self._ask()

    def do_again(self, line: str) -> None:
        """again: the last question once more, of the files as they are now; `as` and `in` may have changed in between."""
        if not self._asked:
            self._tell("nothing has been asked yet")
        else:
            self._ask()

    def do_why(self, line: str) -> None:
        """why: the whole explanation of the last answer."""
        say_lines(["nothing has been asked yet"] if self._answer is None else explanation_lines(self._answer))

    def do_what(self, line: str) -> None:
        """what: all that I may do here, always or under a condition."""
        self._refresh()
        if self._where is None:
            self._tell("say where, such as: in acme")
            return
        policy = self._loaded.compiled.policy
        effective_roles = EffectiveRoles.of(policy.roles, self._held)
        given = given_values("", {})
        if self._subject != SOMEBODY and policy.stored_subjects:
            try:
                with assignments_at(self._database) as store:
                    stored = StoredProperties(store.reader, keeps=False)
                    given = with_stored_subject(policy, stored, self._subject, given)
            except (StorageError, SystemExit) as error:
                self._tell(str(error) if isinstance(error, StorageError) else "so nothing that is stored is known")
                return
        found = list(what_can(policy, self._subject, effective_roles, self._where, given))
        for one in found:
            say(f"{one.action} {one.resource_type}  {verdict_text(one)}  ({reasons_text(one)})")
        if not found:
            say("nothing")

    def do_quit(self, line: str) -> bool:
        """quit: end."""
        return True

    do_exit = do_quit

    def do_EOF(self, line: str) -> bool:
        """Ctrl-D: end."""
        say()
        return True

    def emptyline(self) -> bool:
        """Does nothing; by default the last line would be run again."""
        return False

    def default(self, line: str) -> None:
        """Says that a word is not known."""
        self._tell(f'"{line.split()[0]}" is nothing that can be said here; help lists what can')

    def get_names(self) -> list[str]:
        """The methods that help lists: nobody types the end of the input as a word."""
        return [name for name in super().get_names() if name != "do_EOF"]

    def completenames(self, text: str, *ignored: object) -> list[str]:
        """The words that a line may start with."""
        return [name for name in ("as", "in", "can", "again", "why", "what", "help", "quit") if name.startswith(text)]

    def complete_as(self, text: str, line: str, begin: int, end: int) -> list[str]:
        """Roles, each with an at sign behind it; behind that, places that were named already."""
        role, at, place = text.partition("@")
        if at:
            return [f"{role}@{one}" for one in self._places() if one.startswith(place)]
        return [f"{one}@" for one in self._loaded.compiled.policy.roles.roles if one.startswith(text)]

    def complete_in(self, text: str, line: str, begin: int, end: int) -> list[str]:
        """Places that were named already, and those that grants name."""
        return [one for one in self._places() if one.startswith(text)]

    def complete_can(self, text: str, line: str, begin: int, end: int) -> list[str]:
        """Actions, then the types that have the action, then properties that conditions on it read."""
        before = line[:begin].split()[1:]
        types = self._loaded.compiled.policy.resource_types
        if not before:
            return _starting(text, {action for one in types.values() for action in one.actions})
        if len(before) == 1:
            return _starting(text, {name for name, one in types.items() if before[0] in one.actions})
        return _starting(text, {f"{name}=" for name in self._properties(before[0], before[1].partition(":")[0])})

    def _properties(self, action: str, type_: str) -> set[str]:
        read = {
            attribute
            for grant in self._loaded.compiled.policy.grants
            if (grant.action, grant.resource_type) == (action, type_) and grant.condition is not None
            for atom in atoms(grant.condition)
            for attribute in attributes_of(atom)
        }
        return {str(attribute).removeprefix("resource.") for attribute in read} - {
            "id",
            "type",
            "subject.id",
            "subject.type",
            "context.now",
        }

    def _places(self) -> list[str]:
        places = {domain for _, domain in self._held} | {grant.scope.domain for grant in self._loaded.compiled.policy.grants}
        return sorted(place for place in places | {self._where} if place and "*" not in place)

    def _ask(self) -> None:
        self._refresh()
        policy = self._loaded.compiled.policy
        action, resource, *values = self._asked
        try:
            request = request_of(policy, self._subject, action, resource, self._where, values)
        except click.BadParameter as error:
            self._tell(error.message)
            return
        if policy.uses_now:
            request = asked_at(request, time_of_question(None, None))
        names: tuple[str, ...] = ()
        if self._subject != SOMEBODY and (policy.stored_subjects or policy.stored_resources):
            try:
                with assignments_at(self._database) as store:
                    stored = StoredProperties(store.reader, keeps=False)
                    (request,) = join_all(policy, stored, [request])
                    names = names_from_store(policy, stored, request)
            except (StorageError, SystemExit) as error:
                self._tell(str(error) if isinstance(error, StorageError) else "so nothing that is stored is known")
                return
        effective_roles = EffectiveRoles.of(policy.roles, self._held)
        explanation = explain(policy, self._loaded.compiled, lambda key: effective_roles, request)
        self._answer = replace(explanation, from_store=names)
        say(reason(self._answer))

    def _refresh(self) -> None:
        """Takes the files as they are now; where they have problems, tells these and stays with the last good ones."""
        try:
            found = read_policies(self._policies, self._model)
            loaded = load_files(found)
        except (PolicyError, GitError) as error:
            say_lines(str(error).splitlines())
            self._tell("the files have problems, so this answer is by those before")
            return
        if loaded.files_digest != self._loaded.files_digest:
            say("(the files have changed)")
        self._loaded = loaded

    def _say_who(self) -> None:
        held = ", ".join(f"{role} in {domain}" for role, domain in self._held) or "no role"
        say(f"{self._subject} with {held}, asking {f'in {self._where}' if self._where else 'nowhere in particular'}")

    def _tell(self, message: str) -> None:
        say(f"klausel: {message}")


def _starting(text: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(text))
