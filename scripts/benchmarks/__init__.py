"""Measures Klausel beside its peers; run by `scripts/bench`."""
