"""Whether a policy set does what is expected of it: policy tests, coverage, mutants, the gate before it is taken."""
