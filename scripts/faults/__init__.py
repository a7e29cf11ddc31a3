"""Scripts that break something on purpose and say what came of it; tests run them with small numbers."""
