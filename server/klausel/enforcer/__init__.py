"""A compiler for any Casbin model: a drop-in enforcer that decides by an immutable plan. Knows nothing of Klausel."""
