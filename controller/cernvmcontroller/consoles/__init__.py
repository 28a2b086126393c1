"""Consoles as pure rules: keys, what a viewer may send, the bytes that are kept."""
