"""People and groups as identity providers sent them."""
