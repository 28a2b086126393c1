"""Machines that go from one host to another, with what belongs to them."""
