"""What results say: numbers in ``stats``, drawings in ``figures``, tables and the page in ``reports``.

Reads records and knows nothing of how they were made.
"""
