"""What the runner costs, and what cells side by side gain: ``python -m hpobench_fds.benchmarks.runner``."""
