"""A repository with one commit of a small policy set; see `git_fixtures`."""

from git_fixtures import made, opened, own_environment

__all__ = ["made", "opened", "own_environment"]
