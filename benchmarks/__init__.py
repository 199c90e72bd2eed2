"""Suites, what times the program itself (engine, device, runner, startup), and studies of problems and answers
(known, search, transfer). Nothing imports it.
"""
