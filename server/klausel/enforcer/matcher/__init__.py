"""From the text of a matcher to Python functions: parsed, checked, split, folded, narrowed, compiled."""
