"""The project's own results: every number of RESULTS.md, worked out from the records that it speaks of."""
