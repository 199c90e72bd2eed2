"""What is on disk of a run: written safely, read, checked, packed, merged.

Knows nothing of training or methods.
"""
