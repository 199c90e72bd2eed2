"""What runs in the process that checks a method: the rules, and a line to the supervisor for each.

Lines are JSON on what was standard output: ``{"rule": ...}`` when a rule begins, ``{"finding": ...}`` when
it is done with, ``{"refused": ...}`` for bad input, ``{"done": true}`` at the end. What the method prints
goes to standard error.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from hpobench_fds.errors import InputError

STACK_BEFORE = 0.5  # seconds before the limit at which a method that hangs has its stack shown


def main() -> None:
    """Check as the order in the second argument says: method, options, rules, and when to be done by."""
    with os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1) as out:
        os.dup2(2, 1)

        def tell(**message: Any) -> None:
            out.write(json.dumps(message) + "\n")

        order = json.loads(sys.argv[2])
        faulthandler.dump_traceback_later(max(0.1, order["deadline"] - time.monotonic() - STACK_BEFORE))
        try:
            _check(order, tell)
        except InputError as error:
            tell(refused=str(error))
        out.flush()
        os._exit(0)  # whatever threads the method has left


def _check(order: dict[str, Any], tell: Callable[..., None]) -> None:
    import torch

    from hpobench_fds.method.conformance.bench import Bench
    from hpobench_fds.method.conformance.kit import findings
    from hpobench_fds.method.conformance.problems import TRAININGS
    from hpobench_fds.method.conformance.rules import RULES
    from hpobench_fds.method.registry import parse_options, resolve

    torch.set_num_threads(1)  # on the kit's problems more would only wait for each other
    method, options = resolve(order["method"]), order["options"]
    if options:
        parse_options(method, options, where=order["method"])
    left = [rule for rule in RULES if rule.name in order["rules"]]
    for finding in findings(Bench(method, options, TRAININGS), left, begin=lambda rule: tell(rule=rule)):
        tell(finding=dataclasses.asdict(finding))
    tell(done=True)
