"""Consoles: keys, what a viewer may send, the bytes that are kept, and the streams that carry them."""
