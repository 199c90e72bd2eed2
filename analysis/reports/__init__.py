"""Results in words and tables: on the terminal, in Markdown and LaTeX, and as one HTML page.

Computes no number of its own and draws nothing but the page's charts.
"""
