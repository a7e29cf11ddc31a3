"""The words of every question: requests, identifiers, moments, problems, masks."""
