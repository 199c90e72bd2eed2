"""The conformance kit: does a method keep the contract? On a tiny problem, in seconds.

In a test::

    from hpobench_fds.method.conformance import assert_conforms

    def test_my_method_keeps_the_contract():
        assert_conforms(MyMethod)

``hpobench check my_method.py:MyMethod`` runs the same rules from the command line. Time in the kit is
counted in work, one second an inner step, so that verdicts do not depend on the machine.
"""

from __future__ import annotations

from hpobench_fds.method.conformance.kit import Finding, assert_conforms, check_method
from hpobench_fds.method.conformance.rules import RULES, Rule, is_stochastic

__all__ = ["RULES", "Finding", "Rule", "assert_conforms", "check_method", "is_stochastic"]
