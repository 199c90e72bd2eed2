"""What is known of the problem whose best schedule is known: how quick it is, and what greediness costs."""
