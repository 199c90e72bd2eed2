"""What a search's answer is worth: retrained on fresh draws, over longer horizons, on other data."""
