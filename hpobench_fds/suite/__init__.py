"""Suites: what is to be run, as files say it, as checked cells, as a plan. Runs nothing."""
