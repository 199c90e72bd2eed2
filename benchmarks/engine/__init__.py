"""What training steps and hypergradients cost, both sides of every ratio in one run."""
