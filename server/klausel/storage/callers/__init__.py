"""The callers that the service knows, by their API keys."""
