"""Fetching from the web at the wish of others: only from where it is allowed, only as much as is allowed."""

from cernvmcontroller.fetch.fetcher import Fetched, Fetcher, Validators
from cernvmcontroller.fetch.policy import Policy

__all__ = ["Fetched", "Fetcher", "Policy", "Validators"]
