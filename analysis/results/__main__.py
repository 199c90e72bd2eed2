"""``python -m hpobench_fds.analysis.results``: every number of RESULTS.md, or the page, from the records."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hpobench_fds.errors import InputError

from .rendering import everything, lines, rendered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder of records")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page, such as RESULTS.md")
    options = parser.parse_args()
    try:
        numbers = everything(options.results)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    if options.write:
        options.write.write_text(rendered(numbers))
    else:
        print("\n".join(lines(numbers)))


if __name__ == "__main__":
    main()
