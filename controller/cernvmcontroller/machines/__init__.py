"""Machines: from what should be (the database) to what is (libvirt)."""
