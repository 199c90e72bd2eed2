"""Specification of the augmentation: what it does to one image, and that a step can be replayed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hpobench_fds.data.augment import Augmentation, Augmenter
from hpobench_fds.errors import InputError

few = settings(max_examples=40, deadline=None)


def augmenter(
    options: Augmentation,
    shape: tuple[int, int, int],
    *,
    batch: int = 6,
    steps: int = 3,
    seed: int = 0,
    black: Tensor | None = None,
) -> Augmenter:
    return Augmenter(options, seed, batch, steps, shape, "cpu", black=black)


def numbered(batch: int, shape: tuple[int, int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Every pixel has a value of its own, and none is 0 or negative."""
    return torch.arange(1, 1 + batch * shape[0] * shape[1] * shape[2], dtype=dtype).view(batch, *shape)


def reference(x: Tensor, options: Augmentation, draw: dict[str, int], black: Tensor) -> Tensor:
    """One image [C, H, W], pixel by pixel, as the words of Augmentation's docstring say."""
    channels, height, width = x.shape
    out = torch.empty_like(x)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                column = width - 1 - j if draw["flip"] else j
                row = i + draw["dy"] - options.crop_padding
                column = column + draw["dx"] - options.crop_padding
                inside = 0 <= row < height and 0 <= column < width
                value = x[c, row, column] if inside else black[c]
                in_hole = 0 <= i - draw["top"] < options.cutout and 0 <= j - draw["left"] < options.cutout
                out[c, i, j] = 0.0 if in_hole else value
    return out


def draws(augment: Augmenter, step: int) -> list[dict[str, int]]:
    """The draws of a step, image by image, in the words of the reference."""
    draw = augment._draws.at(step)
    stride = augment.image_shape[2] + 2 * augment.augmentation.crop_padding
    return [
        {"dy": corner // stride, "dx": corner % stride, "flip": flip, "top": top, "left": left}
        for corner, flip, top, left in zip(*(values.tolist() for values in draw), strict=True)
    ]


shapes = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Augmentation, tuple[int, int, int]]:
    shape = draw(shapes)
    size = st.integers(0, min(shape[1:]))
    options = Augmentation(
        draw(size), draw(st.booleans()), draw(size), draw(st.sampled_from([0.0, 0.5, 1.0]))
    )
    return options, shape


@few
@given(case=cases(), seed=st.integers(0, 2**40), step=st.integers(0, 20))
def test_each_image_is_what_the_reference_makes_of_it(
    case: tuple[Augmentation, tuple[int, int, int]], seed: int, step: int
) -> None:
    options, shape = case
    black = -1.0 - torch.arange(shape[0])
    augment = augmenter(options, shape, seed=seed, black=black)
    x = numbered(6, shape)
    out = augment(x, step)
    for image, result, draw in zip(x, out, draws(augment, step), strict=True):
        assert torch.equal(result, reference(image, options, draw, black))
    assert torch.equal(x, numbered(6, shape))  # left alone


@few
@given(case=cases(), steps=st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_a_step_can_be_replayed_in_any_order(
    case: tuple[Augmentation, tuple[int, int, int]], steps: list[int]
) -> None:
    options, shape = case
    x, other = numbered(6, shape), augmenter(options, shape)
    sequence = [other(x, step) for step in range(max(steps) + 1)]
    augment = augmenter(options, shape)
    for step in [*steps, *reversed(steps)]:
        assert torch.equal(augment(x, step), sequence[step])


def test_steps_epochs_and_seeds_differ() -> None:
    options, shape = Augmentation(4, True), (3, 32, 32)
    x = numbered(6, shape)
    outs = [augmenter(options, shape)(x, step) for step in range(6)]
    outs += [augmenter(options, shape, seed=seed)(x, 0) for seed in (1, 2)]
    for i, one in enumerate(outs):
        assert not any(torch.equal(one, other) for other in outs[:i])


def test_nothing_to_do_gives_the_same_tensor() -> None:
    x = numbered(6, (1, 4, 4))
    for options in (Augmentation(), Augmentation(cutout=2, cutout_probability=0.0)):
        assert not options.active
        assert augmenter(options, (1, 4, 4))(x, 0) is x
    assert Augmentation(crop_padding=1).active
    assert Augmentation(flip=True).active
    assert Augmentation(cutout=1).active


def test_a_crop_without_shift_is_the_image() -> None:
    augment = augmenter(Augmentation(crop_padding=2), (3, 5, 5), batch=400, steps=1)
    x = numbered(400, (3, 5, 5))
    out = augment(x, 0)
    still = torch.tensor([d["dy"] == 2 and d["dx"] == 2 for d in draws(augment, 0)])
    assert 0 < int(still.sum()) < 400
    same = (out == x).flatten(1).all(1)
    assert torch.equal(same, still)


def test_shifts_are_uniform_and_independent() -> None:
    augment = augmenter(Augmentation(crop_padding=1), (1, 4, 4), batch=9000, steps=1)
    counts = torch.zeros(3, 3)
    for d in draws(augment, 0):
        counts[d["dy"], d["dx"]] += 1
    assert ((counts - 1000).abs() < 5 * 30).all()  # five standard deviations


def test_kinds_of_draws_do_not_follow_one_another() -> None:
    """From one shared stream, a shift out of 7 and a centre out of 7 rows would be the same numbers."""
    augment = augmenter(Augmentation(crop_padding=3, flip=True, cutout=1), (1, 7, 7), batch=7000, steps=1)
    same_rows = sum(d["dy"] == d["top"] for d in draws(augment, 0))
    assert 850 < same_rows < 1150
    mirrored_and_shifted = sum(d["flip"] and d["dy"] == 0 for d in draws(augment, 0))
    assert 390 < mirrored_and_shifted < 610


def test_crops_are_padded_with_black_and_by_default_with_the_mean() -> None:
    shape, x = (2, 4, 4), numbered(50, (2, 4, 4))
    options = Augmentation(crop_padding=3)
    padded = augmenter(options, shape, batch=50, black=torch.tensor([-1.0, -2.0]))(x, 0)
    assert set(padded[:, 0][padded[:, 0] <= 0].tolist()) == {-1.0}
    assert set(padded[:, 1][padded[:, 1] <= 0].tolist()) == {-2.0}
    by_default = augmenter(options, shape, batch=50)(x, 0)
    assert set(by_default[by_default <= 0].tolist()) == {0.0}


def test_a_flip_is_torch_flip_for_half_of_the_images() -> None:
    augment = augmenter(Augmentation(flip=True), (3, 4, 5), batch=1000, steps=1)
    x = numbered(1000, (3, 4, 5))
    out = augment(x, 0)
    flagged = torch.tensor([bool(d["flip"]) for d in draws(augment, 0)])
    assert torch.equal(out[flagged], x[flagged].flip(3))
    assert torch.equal(out[~flagged], x[~flagged])
    assert 400 < int(flagged.sum()) < 600


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_cutout_erases_a_square_clipped_at_the_border(side: int) -> None:
    augment = augmenter(Augmentation(cutout=side), (2, 7, 9), batch=300, steps=1)
    holes = augment(numbered(300, (2, 7, 9)), 0) == 0
    assert torch.equal(holes[:, 0], holes[:, 1])  # all channels alike
    rows, columns = holes[:, 0].any(2), holes[:, 0].any(1)
    heights, widths = rows.sum(1), columns.sum(1)
    assert torch.equal(holes[:, 0].flatten(1).sum(1), heights * widths)  # a rectangle
    assert int(heights.max()) == int(widths.max()) == side
    # The centre lies in the image: at least half of the side is inside.
    assert int(heights.min()) == int(widths.min()) == (side + 1) // 2
    touches = rows[:, 0] | rows[:, -1]
    assert bool(((heights == side) | touches).all())


@pytest.mark.parametrize(
    "options", [Augmentation(crop_padding=1), Augmentation(flip=True), Augmentation(cutout=3)]
)
def test_the_images_given_are_left_alone(options: Augmentation) -> None:
    x = numbered(6, (1, 4, 4))
    out = augmenter(options, (1, 4, 4))(x, 0)
    assert torch.equal(x, numbered(6, (1, 4, 4)))
    assert not torch.equal(out, x)


def test_every_pixel_may_be_a_cutouts_centre() -> None:
    augment = augmenter(Augmentation(cutout=1), (1, 3, 4), batch=1200, steps=1)
    counts = (augment(numbered(1200, (1, 3, 4)), 0) == 0).sum(0)
    assert ((counts - 100).abs() < 5 * 10).all()


def test_cutout_spares_an_image_with_the_other_probability() -> None:
    augment = augmenter(Augmentation(cutout=3, cutout_probability=0.25), (1, 6, 6), batch=1000, steps=1)
    cut = (augment(numbered(1000, (1, 6, 6)), 0) == 0).flatten(1).any(1)
    assert 180 < int(cut.sum()) < 320


def test_switching_cutout_on_leaves_the_crops_as_they_were() -> None:
    shape, x = (1, 8, 8), numbered(6, (1, 8, 8))
    plain = augmenter(Augmentation(2, True), shape)(x, 4)
    cut = augmenter(Augmentation(2, True, 3), shape)(x, 4)
    assert torch.equal(cut[cut != 0], plain[cut != 0])
    assert bool((cut == 0).any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    augment = augmenter(Augmentation(2, True, 2), (1, 4, 4), black=torch.tensor([-1.0]))
    assert augment(numbered(6, (1, 4, 4), dtype), 0).dtype == dtype


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    augmenter(Augmentation(2, True, 2), (1, 4, 4))(numbered(6, (1, 4, 4)), 0)
    assert torch.equal(torch.rand(1), expected)


def test_another_shape_is_refused() -> None:
    augment = augmenter(Augmentation(2), (1, 4, 4))
    for x in (numbered(5, (1, 4, 4)), numbered(6, (3, 4, 4)), numbered(6, (1, 4, 5))):
        with pytest.raises(ValueError, match="is not the shape"):
            augment(x, 0)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"crop_padding": -1}, "crop_padding"),
        ({"cutout": -1}, "cutout"),
        ({"cutout_probability": -0.1}, "cutout_probability"),
        ({"cutout_probability": 1.1}, "cutout_probability"),
        ({"cutout_probability": float("nan")}, "cutout_probability"),
    ],
)
def test_bad_options_are_refused(options: dict[str, float], key: str) -> None:
    with pytest.raises(InputError, match=f"^{key}: "):
        Augmentation(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [Augmentation(crop_padding=5), Augmentation(cutout=5)])
def test_sizes_fit_the_image(options: Augmentation) -> None:
    with pytest.raises(InputError, match="5 for images of 4x6 pixels"):
        augmenter(options, (1, 4, 6))
