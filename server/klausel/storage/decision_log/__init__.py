"""The decision log: the queue that records wait in, where they go, and reading them again."""
