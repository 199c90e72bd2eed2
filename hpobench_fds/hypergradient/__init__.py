"""d(validation loss)/d(schedule) through a training, by every mode, and the steps along it.

Knows nothing of methods.
"""
