"""Guests: what is said with a machine from inside, its agent and its notebook server."""
