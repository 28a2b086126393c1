"""The deployment for one machine: what ``make run``, ``make test`` and ``make clean`` do."""
