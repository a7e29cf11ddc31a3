"""YAML and CSV with places: from bytes to nodes that know their line and column, and back to text."""
