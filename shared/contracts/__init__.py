"""The published events: other systems build against these names and fields."""
