"""Readers: from the bytes of a feed and its URL to entries, for each format that there is.

They decide nothing about trust but one thing: where the site gave an authority, only signed content is read.
They run in a process of their own (`cernvmcontroller.catalogue.isolation`) and import little.
"""
