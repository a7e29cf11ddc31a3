"""The one canonical form of the files of a policy set."""
