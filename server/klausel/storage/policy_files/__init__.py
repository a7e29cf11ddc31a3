"""The files of a policy set, from a folder or from a commit, and noticing that they changed."""
