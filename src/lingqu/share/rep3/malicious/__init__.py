"""Replicated secret sharing among three parties, secure with abort against one party that deviates."""
