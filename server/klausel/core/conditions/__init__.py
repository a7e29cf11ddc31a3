"""The expression language: its tree, parser, patterns, and the ways in which comparisons can turn out."""
