"""Alembic's entry: runs on the connection that ``shared.migrations.upgrade`` opened."""

from shared.migrations import run_env

run_env()
