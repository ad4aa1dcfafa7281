"""What profile costs beside the purchases: segments, views, imports, duplicates, the night."""
