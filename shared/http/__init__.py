"""What every service's HTTP API stands on: app factory, problems, auth, pages, idempotency keys, ETags."""
