"""What functions of conditions mean: literal patterns, IP networks, and the calendar and the clock on the wall of a zone.

An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is that IPv4 address. A pattern takes never more time than its length times
that of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, time
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from zoneinfo import ZoneInfo, available_timezones

from klausel.core.terms.problem import did_you_mean

_MAPPED_BITS = 96
"""The bits in front of an IPv4 address that is written as IPv6."""
_LONGEST_ADDRESS = 64
_LONGEST_ZONE = 64
_BEHIND_MAPPED = "::1:0:0:0"
"""The first IPv6 address behind those that are IPv4 addresses."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_OFTEN_MEANT = ("UTC", "Europe/London", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Sydney")


def in_network(address: str, networks: str | list[str]) -> bool | None:
    """Whether an address lies in a network such as `10.20.0.0/16`, or in one of a list.

    Unknown when it is no address, or when one of them is no network, whatever the others are.
    """
    found = _address(address) if len(address) <= _LONGEST_ADDRESS else None
    if found is None:
        return None
    inside = False
    for text in [networks] if isinstance(networks, str) else networks:
        network = _network(text) if isinstance(text, str) and len(text) <= _LONGEST_ADDRESS else None
        if network is None:
            return None
        inside = inside or (found.version == network.version and found in network)
    return inside


def networks_together(questions: Sequence[str | list[str]]) -> Mapping[tuple[bool | None, ...], Sequence[str]]:
    """Every way in which these networks can turn out for one text, with such addresses, or none for a text that is no address.

    The first addresses of each network, the one behind its last, and the first ones of all stand for every address.
    """
    networks = [_network(one) for asked in questions for one in ([asked] if isinstance(asked, str) else asked)]
    addresses = {"0.0.0.0", "::", _BEHIND_MAPPED}
    for network in networks:
        if network is not None:
            addresses.add(str(network.network_address))
            for address in (network.network_address, network.broadcast_address):
                with suppress(ValueError):
                    addresses.add(str(address + 1))
    ways: dict[tuple[bool | None, ...], list[str]] = {(None,) * len(questions): []}
    for one in sorted(addresses):
        ways.setdefault(tuple(in_network(one, asked) for asked in questions), []).append(one)
    return ways


def fault_in_networks(networks: object) -> str | None:
    """Why this names no networks, and how to write them; None when it does."""
    for text in networks if isinstance(networks, list) else [networks]:
        if not isinstance(text, str) or _network(text) is None:
            hint = 'write it as "10.20.0.0/16" or "2001:db8::/32"'
            if isinstance(text, str) and "/" in text:
                with suppress(ValueError):
                    hint = f'write the whole network, "{ip_network(text, strict=False)}"'
            return f"`{text}` is no network; {hint}"
    return None


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


@lru_cache(maxsize=4096)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        network = ip_network(text)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def weekday(moment: datetime, zone: str) -> str | None:
    """The day of the week, such as `monday`; unknown where the zone is."""
    local = _local(moment, zone)
    return None if local is None else WEEKDAYS[local.weekday()]


def time_of_day(moment: datetime, zone: str) -> time | None:
    """What a clock on the wall shows; unknown where the zone is."""
    local = _local(moment, zone)
    return None if local is None else local.time()


def fault_in_zone(zone: object) -> str | None:
    """Why this names no zone, and how to write one; None when it does."""
    if isinstance(zone, str) and _zone(zone) is not None:
        return None
    near = did_you_mean(str(zone), available_timezones() or _OFTEN_MEANT)
    return f'`{zone}` is no zone; {near}Write it as "Europe/Berlin" or "UTC"'


def _local(moment: datetime, zone: str) -> datetime | None:
    known = _zone(zone) if len(zone) <= _LONGEST_ZONE else None
    try:
        return None if known is None else moment.astimezone(known)
    except OverflowError:  # within a day of the first or the last year
        return None


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        return None


def matches_glob(text: str, pattern: str) -> bool:
    """Whether the whole text matches: `*` stands for any run of characters, `?` for exactly one."""
    return _matches(text, pattern, "*", lambda wanted, given: wanted in ("?", given))


def matches_path(text: str, pattern: str) -> bool:
    """Whether a `/`-separated text matches: `*` stands for one whole segment or a run within one, `**` for any segments."""
    return _matches(text.split("/"), pattern.split("/"), "**", lambda wanted, given: matches_glob(given, wanted))


def _matches(given: Sequence[str], pattern: Sequence[str], star: str, fits: Callable[[str, str], bool]) -> bool:
    """Greedy matching that goes back to the last star only, so it never explores more than one alternative."""
    at = 0
    position = 0
    star_at = -1
    resume = 0
    while position < len(given):
        if at < len(pattern) and pattern[at] == star:
            star_at, resume = at, position
            at += 1
        elif at < len(pattern) and fits(pattern[at], given[position]):
            at += 1
            position += 1
        elif star_at >= 0:
            resume += 1
            at, position = star_at + 1, resume
        else:
            return False
    return all(part == star for part in pattern[at:])
