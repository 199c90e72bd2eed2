"""Suites, what times the program itself (engine, device, runner, startup), studies of problems and answers
(known, search, transfer). Nothing imports it.
"""
