"""From files to a policy set, with every problem at its place; the keys of the files, and their JSON Schemas."""
