"""Exact answers about one policy set: proofs, the matrix, who can and what can."""
