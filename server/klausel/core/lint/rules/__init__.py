"""The rules of lint, one a module: its docstring is its manual page, its `find` gives its findings."""
