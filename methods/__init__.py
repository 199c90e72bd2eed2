"""One adapter a file; helpers they share start with _. Knows nothing of suites, records and runners."""
