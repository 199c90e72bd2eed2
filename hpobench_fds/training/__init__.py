"""The one inner loop: problem, step rules, trainer, fair clock.

Knows nothing of hypergradients or methods.
"""
