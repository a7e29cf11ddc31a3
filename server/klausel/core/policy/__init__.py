"""What a policy set is: roles, grants, invariants, tests and role assignments as data, and what a grant means."""
