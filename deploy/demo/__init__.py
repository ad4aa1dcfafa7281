"""``./roost demo``: real purchases replayed through the whole system, and a report of what became of them."""
