"""Definitions of machines that administrators write: what may stand in them, and what becomes of it.

`document` reads them, `rules` say what they must not contain, `merge` keeps in them what the hub decides, and
`definitions` is what the API asks.
"""
