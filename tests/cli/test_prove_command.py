"""`klausel prove`: what it says of each invariant."""

from command_line import Change, Klausel


def test_an_invariant_that_speaks_of_nobody_says_so(klausel: Klausel, change: Change) -> None:
    invariant = "  - {name: Leads delete nothing, never: lead, to: delete, resource: quiz}\n"
    change("policies/roles.yaml", "  user:\n    level: account\n", "  user:\n    level: account\n    contains: lead\n")
    change("policies/invariants.yaml", "invariants:\n", f"invariants:\n{invariant}")
    told = klausel("prove").stdout
    assert "holds   Leads delete nothing (for 0 combinations)\n" in told
    assert "it speaks of nobody, for nobody can hold this role and none that contains it; say at_most, and who may" in told
