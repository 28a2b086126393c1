"""The contract of CernVM Hub: models, errors and a typed client, sync and async."""
