"""Fetching from the web at the wish of others: only from where it is allowed, only as much as is allowed."""

from cernvmcontroller.fetch.fetcher import Broken, Fetched, Fetcher, Validators
from cernvmcontroller.fetch.policy import Policy
from cernvmcontroller.fetch.transfer import Received, Transfer

__all__ = ["Broken", "Fetched", "Fetcher", "Policy", "Received", "Transfer", "Validators"]
