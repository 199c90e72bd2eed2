"""``python -m hpobench_fds.cli`` is ``hpobench``."""

from hpobench_fds.cli import main

main()
