"""Who may do what: policies in text files, enforced by Casbin, answered over HTTP."""

__version__ = "0.2.0"
