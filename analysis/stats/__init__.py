"""What results say, as numbers: curves, times, intervals, tests and tables of them.

Knows nothing of drawing, of words or of printing: no matplotlib or rich.
"""
