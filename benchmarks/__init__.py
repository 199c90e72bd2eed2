"""Suites, and what times the program itself (engine, runner, startup). Nothing imports it."""
