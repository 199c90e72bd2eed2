"""Where cells run: supervised processes side by side, or a Ray cluster. Knows nothing of what a cell does."""
