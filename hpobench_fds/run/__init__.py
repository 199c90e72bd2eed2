"""Runs cells and records them: runner, referee, watchers. Knows no method by name, and draws nothing."""
