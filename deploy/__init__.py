"""Everything about running Roost."""
