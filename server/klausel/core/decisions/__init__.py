"""Deciding and explaining: the domain of a request, effective roles, the decision and its reasons."""
