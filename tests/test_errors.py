"""Bad input in a line: where, what, what is allowed, and what was probably meant."""

from __future__ import annotations

import pytest

from hpobench_fds.errors import InputError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            InputError("got 5", where="s.toml", key="lr", allowed="1 to 3"),
            "s.toml: lr: got 5 (allowed: 1 to 3)",
        ),
        (
            InputError("unknown metric 'test_los'", allowed=("test_loss", "val_loss")),
            "unknown metric 'test_los', did you mean 'test_loss'? (allowed: test_loss, val_loss)",
        ),
        (
            InputError('got "adm"', key="kind", allowed="'sign', 'adam' or 'plain'"),
            "kind: got \"adm\", did you mean 'adam'? (allowed: 'sign', 'adam' or 'plain')",
        ),
        (InputError("'cuda:2'", allowed=("cpu", "cuda:1")), "'cuda:2' (allowed: cpu, cuda:1)"),
        (InputError("got 'zzz'", allowed="local, ray"), "got 'zzz' (allowed: local, ray)"),
        (
            InputError("got 'ray' without it", allowed="local, ray"),
            "got 'ray' without it (allowed: local, ray)",
        ),
        (InputError("many\n  lines", where="f"), "f: many lines"),
    ],
)
def test_a_line_says_what_was_probably_meant_where_a_name_is_near(error: InputError, line: str) -> None:
    assert str(error) == line


def test_a_bad_value_as_long_as_a_file_is_cut() -> None:
    assert len(str(InputError("x" * 10_000, where="f.toml"))) < 1100
