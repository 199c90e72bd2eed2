"""One look for a method everywhere; what a third party's class says of itself is heard."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fabricate import Results
from hpobench_fds.analysis.looks import DARK_PAGE, KINDS, PALETTE, Looks, contrast, look_by_rule
from hpobench_fds.analysis.looks import KNOWN as KNOWN_LOOKS

KNOWN = list(KNOWN_LOOKS)


def test_known_methods_can_be_told_apart_without_colour() -> None:
    looks = [look_by_rule(m) for m in KNOWN]
    assert len({k.color for k in looks}) == len(KNOWN)  # each its own
    assert len({(k.marker, k.dash) for k in looks}) == len(KNOWN)
    assert len({(k.color, k.dash) for k in looks}) == len(KNOWN)
    assert len({k.label for k in looks}) == len(KNOWN)


def test_every_colour_stands_out_on_white() -> None:
    for color in (*PALETTE, *(look.color for look in KNOWN_LOOKS.values())):
        assert contrast(color, "#ffffff") > 2, color


def test_every_built_in_method_has_a_look_of_its_own() -> None:
    folder = Path(__file__).parents[2] / "methods"
    methods = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert methods == set(KNOWN_LOOKS)


def test_on_a_dark_page_every_colour_stands_out() -> None:
    for look in KNOWN_LOOKS.values():
        assert contrast(look.dark, DARK_PAGE) >= 4.5, look


def test_a_variant_never_wears_another_methods_colour() -> None:
    made = Results()
    variants = ("fds", "reverse", "hd", "rtho", "fds_perturbed", "reverse_fast", "hd_slow", "mine", "yours")
    for method in variants:
        made.add(method, 0, [(1, 0.5)], adapter="fds" if method == "fds_perturbed" else None)
    found = Looks.of(made.runs)
    assert len({found[method].color for method in variants}) == len(variants)


def test_an_unknown_method_keeps_its_look_in_another_process() -> None:
    code = "from hpobench_fds.analysis.looks import look_by_rule; print(look_by_rule('my_method'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(look_by_rule("my_method"))
    assert look_by_rule("my_method").label == "my_method"


def test_unknown_methods_do_not_all_look_the_same() -> None:
    looks = {(k.color, k.dash, k.marker) for k in map(look_by_rule, (f"method_{i}" for i in range(20)))}
    assert len(looks) >= 17


def test_an_unknown_method_never_looks_like_a_known_one() -> None:
    known = {(k.marker, k.dash) for k in KNOWN_LOOKS.values()}
    assert not known & {(k.marker, k.dash) for k in map(look_by_rule, (f"method_{i}" for i in range(200)))}


def looks(*adapters: str, **keywords: object) -> Looks:
    made = Results()
    for adapter in adapters:
        made.add(adapter, 0, [(1, 0.5)], **keywords)  # type: ignore[arg-type]
    return Looks.of(made.runs)


OWN = {"label": "My method", "color": "#12ab34", "marker": ">"}


def test_a_class_says_how_its_method_looks() -> None:
    mine = looks("mine", look=OWN)["mine"]
    assert (mine.label, mine.color, mine.marker) == ("My method", "#12ab34", ">")
    assert (mine.marker, mine.dash) not in {(k.marker, k.dash) for k in KNOWN_LOOKS.values()}


@pytest.mark.parametrize(
    "own",
    [
        {}, {"label": ""}, {"label": "a\nb"}, {"label": "$x"}, {"label": "_x"}, {"label": "x" * 41},
        {"color": "red"}, {"color": "#12ab3"}, {"color": "url(#x)"}, {"marker": "$x$"}, {"marker": "_"},
    ],
)  # fmt: skip
def test_what_figures_cannot_print_or_draw_is_not_heard(own: dict[str, str]) -> None:
    assert looks("mine", look=own)["mine"] == look_by_rule("mine")


def test_a_known_name_looks_as_it_always_does() -> None:
    assert looks("fds", look=OWN)["fds"] == KNOWN_LOOKS["fds"]


def test_two_labels_of_one_class_can_be_told_apart() -> None:
    made = Results()
    for method in ("one", "two"):
        made.add(method, 0, [(1, 0.5)], adapter="mine.py:Mine", look=OWN)
    both = Looks.of(made.runs)
    assert both.label("one") == "My method (one)"
    assert both["one"].color == look_by_rule("one").color


# ---- kinds ----------------------------------------------------------------------------------------------


def test_every_known_method_has_a_kind() -> None:
    spread = looks(*KNOWN).kinds(KNOWN)
    assert list(dict.fromkeys(kind.rstrip(" 0123456789") for kind in spread)) == list(KINDS[:-1])
    assert sorted(m for members in spread.values() for m in members) == sorted(KNOWN)
    assert spread["greedy"] == ["hd", "rtho", "marthe", "one_pass"]
    assert spread["multi-fidelity 1"] == ["hyperband", "asha", "bohb", "dehb", "priorband", "pbt"]
    assert "random_search" in spread["black box 1"]


def test_the_traits_decide_and_those_of_no_family_stand_last_in_handfuls() -> None:
    names = [f"mine_{i}" for i in range(8)]
    spread = looks("tpe", "fds").kinds([*names, "tpe", "fds"])
    assert list(spread) == ["hypergradients", "black box", "others 1", "others 2"]
    assert [len(members) for members in spread.values()] == [1, 1, 6, 2]
    mine = looks("mine", family="gradient", traits={"greedy": True})
    assert mine.kinds(["mine"]) == {"greedy": ["mine"]}
    mine = looks("mine", family="black box", traits={"multi_fidelity": True})
    assert mine.kinds(["mine"]) == {"multi-fidelity": ["mine"]}


def test_a_built_in_method_under_another_label_keeps_its_colour_if_no_other_label_has_it() -> None:
    made = Results().add("tpe-cosine", 0, [(1, 0.5)], adapter="tpe").add("fds", 0, [(1, 0.5)])
    alone = Looks.of(made.runs)["tpe-cosine"]
    assert (alone.label, alone.color) == ("tpe-cosine", KNOWN_LOOKS["tpe"].color)
    assert (alone.marker, alone.dash) not in {(k.marker, k.dash) for k in KNOWN_LOOKS.values()}
    several = Looks.of(made.add("tpe", 0, [(1, 0.5)]).runs)
    assert several["tpe-cosine"].color not in (KNOWN_LOOKS["tpe"].color, KNOWN_LOOKS["fds"].color)
