"""The command `keys`: API keys of the applications that call the service."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from klausel.cli.command_group import CommandGroup
from klausel.cli.database_options import database_at, database_option
from klausel.cli.formats import format_option
from klausel.cli.options import fail
from klausel.cli.output import say, say_json
from klausel.core.terms.caller import SCOPES, Caller, fault_in_caller
from klausel.core.terms.moment import read_moment
from klausel.storage.callers.keys import ApiKey, KeyStore, key_as_json

_DAYS = re.compile(r"(\d{1,5})d", re.ASCII)
_SECONDS_A_DAY = 86_400


def _end_of(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    days = _DAYS.fullmatch(value)
    try:
        end = int(time.time()) + int(days[1]) * _SECONDS_A_DAY if days else read_moment(value) // 1_000_000
    except ValueError as error:
        raise click.BadParameter(f"{error}; or a number of days, such as 90d", context, parameter) from None
    if end <= time.time():
        message = "this has passed already; name a later moment, or a number of days, such as 90d"
        raise click.BadParameter(message, context, parameter)
    return end


@click.group(cls=CommandGroup)
def keys() -> None:
    """Make, list and revoke the API keys by which applications prove who they are.

    They count where the service runs with `--authentication keys`.

    \b
    Examples:
      klausel keys new shop --scope check --account acme --expires 90d
      klausel keys list
    """


@keys.command("new")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(list(SCOPES)), required=True, help="What it may do; repeatable."
)
@click.option("--account", "accounts", multiple=True, help="Limit it to this top-level domain; repeatable. Without it, all.")
@click.option("--expires", callback=_end_of, metavar="MOMENT", help="When it ends: 2027-01-01, or 90d. Without it, never.")
@database_option
def new(name: str, scopes: tuple[str, ...], accounts: tuple[str, ...], expires: int | None, database: str) -> None:
    """Make a key for the application NAME, and print it once: only its hash is kept.

    The key is sent as `Authorization: Bearer …`.

    \b
    Examples:
      klausel keys new shop --scope check --account acme --expires 90d
      klausel keys new people-sync --scope assign --scope audit
    """
    fault = fault_in_caller(name, scopes, accounts)
    if fault:
        raise click.UsageError(fault)
    caller = Caller(name, frozenset(scopes), frozenset(accounts) or None)
    with _keys_in(database, creates=True) as store:
        id_, key = store.new(caller, expires)
    say(f"klausel: this is the key {id_} of {name}; it is shown only now, so keep it where secrets are kept", err=True)
    say(key)


def _write_table(found: Sequence[ApiKey], now: float) -> None:
    if not found:
        say("klausel: there are no API keys; make one with `klausel keys new`", err=True)
    for key in found:
        caller = key.caller
        accounts = "all accounts" if caller.accounts is None else ", ".join(sorted(caller.accounts))
        used = "never used" if key.last_used is None else f"last used {_day(key.last_used)}"
        end = "" if key.expires is None else f", ends {_day(key.expires)}"
        say(f"{key.id}  {caller.name}  {key.state(now)}{end}  {', '.join(sorted(caller.scopes))}  {accounts}  {used}")


def _write_json(found: Sequence[ApiKey], now: float) -> None:
    say_json([key_as_json(key, now) for key in found], indent=2)


@keys.command("list")
@format_option({"table": _write_table, "json": _write_json})
@database_option
def list_(write: Callable[[Sequence[ApiKey], float], None], database: str) -> None:
    """List the keys, with their scopes, accounts, ends, and when each was used last.

    \b
    Examples:
      klausel keys list
      klausel keys list --format json
    """
    with _keys_in(database) as store:
        found = list(store.all())
    write(found, time.time())


@keys.command("revoke")
@click.argument("id_", metavar="ID")
@database_option
def revoke(id_: str, database: str) -> None:
    """Revoke the key with this ID; no process of the service takes it any more.

    \b
    Examples:
      klausel keys revoke 0f3a9c21bb42
    """
    with _keys_in(database) as store:
        done = store.revoke(id_)
    if not done:
        fail(f'there is no key "{id_}" that could be revoked; klausel keys list shows them')
    say(f"revoked {id_}")


@contextmanager
def _keys_in(database: str, creates: bool = False) -> Iterator[KeyStore]:
    with database_at(database, creates) as engine:
        yield KeyStore(engine)


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
