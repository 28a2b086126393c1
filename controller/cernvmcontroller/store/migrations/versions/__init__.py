"""One module a step; `alembic_version` in the database says which were taken."""
