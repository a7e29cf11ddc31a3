"""What networks can turn out together for one address, beside every address of a small space."""

import itertools
import random
from ipaddress import ip_network

import pytest
from policy_sets import policy_of

from klausel.core.analysis.proof import prove_all
from klausel.core.conditions.meanings import in_network, networks_together

PREFIXES = range(24, 33)


def addresses() -> list[str]:
    """All of 10.0.0.0/24, and one behind it: every way in which networks inside can turn out."""
    return [*map(str, ip_network("10.0.0.0/24")), "10.0.1.0"]


@pytest.mark.parametrize("seed", range(20))
def test_they_are_what_some_address_makes_them_and_nothing_else(seed: int) -> None:
    choose = random.Random(seed)
    asked: list[str | list[str]] = []
    for _ in range(choose.randint(1, 4)):
        some = [
            str(ip_network(f"10.0.0.{choose.randrange(256)}/{choose.choice(PREFIXES)}", strict=False))
            for _ in range(choose.randint(1, 3))
        ]
        asked.append(some if len(some) > 1 else some[0])
    found = {tuple(in_network(address, one) for one in asked) for address in addresses()}
    assert set(networks_together(asked)) == found | {(None,) * len(asked)}


def test_the_two_kinds_of_addresses_are_apart_and_one_is_read_as_the_other() -> None:
    kinds = ["0.0.0.0/0", "::/0", "::ffff:0:0/96", "::/64", "::ffff:0:0:0/96"]
    samples = ["1.2.3.4", "::ffff:1.2.3.4", "::5", "::1:0:0:0", "2001:db8::1", "::ffff:0:1:2", "nonsense"]
    for asked in itertools.permutations(kinds, 2):
        ways = networks_together(asked)
        assert {tuple(in_network(one, network) for network in asked) for one in samples} <= set(ways)


@pytest.mark.parametrize(
    "networks", ["nonsense", "10.0.0.1/8", "", [5], [{}], [["10.0.0.0/8"]], [None], ["10.0.0.0/8", 5], "1" * 9999]
)
def test_what_is_sent_and_names_no_network_is_unknown(networks: str | list[str]) -> None:
    assert in_network("10.1.2.3", networks) is None


def verdicts(allowed_from: str, never_from: str) -> list[str]:
    policy = policy_of(
        {
            "roles.yaml": "levels: {site: {constant: main}}\nroles: {editor: {level: site}}\n",
            "features/notes.yaml": "resource_types:\n  note: {actions: [read]}\ngrants:\n"
            f"  - {{allow: editor, to: read, resource: note, when: 'in_network(context.ip, \"{allowed_from}\")'}}\n",
            "invariants.yaml": "invariants:\n  - never: anyone\n    to: read\n    resource: note\n"
            f'    when: in_network(context.ip, "{never_from}")\n',
        }
    )
    return ["holds" if verdict.holds else "BROKEN" for verdict in prove_all(policy)]


def test_proofs_know_that_no_address_is_in_two_networks_that_share_none() -> None:
    assert verdicts("10.0.0.0/8", "192.168.0.0/16") == ["holds"]
    assert verdicts("10.0.0.0/8", "10.1.0.0/16") == ["BROKEN"]
    assert verdicts("10.1.0.0/16", "10.0.0.0/8") == ["BROKEN"]
    assert verdicts("10.0.0.0/8", "::/0") == ["holds"]
