import pytest

from tpc_jax.errors import UserError
from tpc_jax.options import Calibrating, Options
from tpc_jax.studies.evaluation.variants import (
    DESCRIPTIONS,
    METHODS,
    PLAIN,
    TPC,
    Variant,
    make_variants,
    parse_propagation,
)


def test_everything_is_combined_with_what_it_applies_to():
    variants = make_variants(
        METHODS, ("similarity", "affine"), ("random:4", "off"), ("composite", "union")
    )
    counts = {method: sum(v.method == method for v in variants) for method in METHODS}
    plain = ("none", "pose-shift", "retarget")
    assert counts == {method: 1 if method in plain else 8 for method in METHODS}
    assert len({v.name for v in variants}) == len(variants)
    assert make_variants(("lts", "lts", "none")) == (
        Variant("lts", "similarity", "random:4", "composite"),
        Variant("none"),
    )
    assert DESCRIPTIONS.keys() == set(METHODS)


def test_options_of_variants():
    shared = Options(steps=3, seed=7, routing="open", group_size=9)
    plain = Variant("none").options(shared)
    assert (plain.tpc, plain.steps, plain.seed) == (False, 3, 7)
    # Variants without calibration share one program with each other.
    assert plain == Variant("retarget").options(shared)
    full = Variant("lts", "affine", "first:8", "union").options(shared)
    assert full.tpc
    assert (full.routing, full.propagation, full.group_size) == ("union", "first", 8)
    assert Variant("pose-shift").calibrating is None
    skeleton = PLAIN._replace(pose="skeleton")
    assert (skeleton.name, skeleton.options(shared)) == ("none skeleton", plain)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("lts", Calibrating("lts")),
        ("unrefined", Calibrating("lts", refine="none")),
        ("retarget+lts", Calibrating("lts")),
        ("face", Calibrating("face")),
    ],
)
def test_how_methods_are_fitted(method, expected):
    assert TPC._replace(method=method).calibrating == expected
    assert expected.is_refined == ("lts" in method)


@pytest.mark.parametrize("text", ["random", "random:0", "random:x", "last:4", "", "4"])
def test_unknown_propagation(text):
    with pytest.raises(UserError, match="--propagation"):
        parse_propagation(text)
    with pytest.raises(UserError, match="--propagation"):
        make_variants(("lts",), propagations=(text,))


def test_unknown_methods():
    with pytest.raises(UserError, match="--methods best: unknown; known are none, lts"):
        make_variants(("none", "best"))
