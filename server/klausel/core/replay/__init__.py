"""Recorded decisions asked again: under another policy, or for what nobody needed."""
