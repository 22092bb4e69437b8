from __future__ import annotations

import numpy as np
import pytest
import torch

from momentumseg.errors import Cancelled
from momentumseg.inference.volume_consistency import ConsistencyConfig, make_consistent, part_count

CELLS, SIZE, SLICES = 16, 64, 6


def a_block(rows: slice, columns: slice, value: float = 6.0) -> torch.Tensor:
    """Logits of one label that are foreground in a block of cells on all slices."""
    logits = torch.full((1, SLICES, CELLS, CELLS), -6.0)
    logits[:, :, rows, columns] = value
    return logits


def a_drawn_mask(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[rows, columns] = True
    return mask


def a_flat_image(_slice: int) -> np.ndarray:
    return np.zeros((SIZE, SIZE), dtype=np.float32)


def consistent(
    logits: torch.Tensor, drawn: dict[tuple[int, int], np.ndarray] | None = None, parts: int = 1, **config: object
) -> torch.Tensor:
    config.setdefault("edges", None)  # a subject of its own, see test_edge_refinement.py
    return make_consistent(
        logits,
        drawn or {},
        a_flat_image,
        size=SIZE,
        pixel_spacing=1.0,
        slice_spacing=4.0,
        parts=[parts] * len(logits),
        config=ConsistencyConfig(**config),
    )


def test_everything_off_is_plain_upsampling() -> None:
    logits = torch.randn(1, SLICES, CELLS, CELLS, generator=torch.Generator().manual_seed(0))

    result = consistent(logits, prior=None, smoothing_cells=0.0, keep_parts=False)

    expected = torch.nn.functional.interpolate(
        logits[0][:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=True
    )[:, 0]
    torch.testing.assert_close(result[0].float(), expected, atol=2e-3, rtol=1e-3)


def test_a_part_away_from_the_drawn_mask_is_cut_off_but_stays_uncertain() -> None:
    logits = a_block(slice(2, 6), slice(2, 6)) + 12 * (a_block(slice(11, 14), slice(11, 14)) > 0)
    drawn = {(0, 2): a_drawn_mask(slice(8, 24), slice(8, 24))}

    result = consistent(logits, drawn, prior=None)

    assert (result[0, :, 12:20, 12:20] > 0).all()
    assert (result[0, :, 46:54, 46:54] < 0).all()
    assert (result[0, :, 48:52, 48:52] >= -1).all()


def test_a_part_away_from_the_drawn_mask_stays_when_parts_are_not_cut() -> None:
    logits = a_block(slice(2, 6), slice(2, 6)) + 12 * (a_block(slice(11, 14), slice(11, 14)) > 0)
    drawn = {(0, 2): a_drawn_mask(slice(8, 24), slice(8, 24))}

    result = consistent(logits, drawn, prior=None, keep_parts=False)

    assert (result[0, :, 48:52, 48:52] > 0).all()


@pytest.mark.parametrize(("parts", "kept"), [(1, False), (2, True)])
def test_as_many_parts_are_kept_as_the_support_shows(parts: int, kept: bool) -> None:
    logits = a_block(slice(2, 7), slice(2, 7)) + 12 * (a_block(slice(11, 14), slice(11, 14)) > 0)

    result = consistent(logits, parts=parts)

    assert bool((result[0, :, 48:52, 48:52] > 0).all()) is kept
    assert (result[0, :, 12:24, 12:24] > 0).all()


def test_a_drawn_slice_keeps_an_overconfident_network_from_leaking() -> None:
    everywhere = torch.full((1, SLICES, CELLS, CELLS), 25.0)
    drawn = {(0, 0): a_drawn_mask(slice(24, 40), slice(24, 40)), (0, 4): a_drawn_mask(slice(24, 40), slice(24, 40))}

    result = consistent(everywhere, drawn)

    assert (result[0, 2, 28:36, 28:36] > 0).all()
    assert (result[0, 2, :8, :8] < 0).all()


def test_a_slice_of_noise_is_smoothed_by_its_neighbours() -> None:
    logits = a_block(slice(2, 8), slice(2, 8), value=2.0)
    logits[0, 3] = -0.5  # the network lost the structure on one slice

    smoothed = consistent(logits, smoothing_cells=1.0)
    plain = consistent(logits, smoothing_cells=0.0, keep_parts=False)

    assert (smoothed[0, 3, 16:24, 16:24] > 0).all()
    assert (plain[0, 3, 16:24, 16:24] < 0).all()


def test_labels_do_not_influence_each_other() -> None:
    first, second = a_block(slice(2, 6), slice(2, 6)), a_block(slice(9, 13), slice(9, 13))
    drawn = {(1, 1): a_drawn_mask(slice(36, 52), slice(36, 52))}

    both = consistent(torch.cat([first, second]), drawn)

    torch.testing.assert_close(both[:1], consistent(first))
    torch.testing.assert_close(both[1:], consistent(second, {(0, 1): drawn[1, 1]}))


def test_drawn_slices_outside_the_range_still_shape_the_result() -> None:
    everywhere = torch.full((1, SLICES, CELLS, CELLS), 25.0)

    result = consistent(everywhere, {(0, -1): a_drawn_mask(slice(24, 40), slice(24, 40))})

    assert (result[0, 0, 28:36, 28:36] > 0).all()
    assert (result[0, 0, :8, :8] < 0).all()


def test_nothing_found_is_no_error() -> None:
    result = consistent(torch.full((1, SLICES, CELLS, CELLS), -6.0))

    assert (result < 0).all()


def test_the_network_logits_are_not_changed() -> None:
    logits = a_block(slice(2, 6), slice(2, 6), value=9.0)
    before = logits.clone()

    consistent(logits, {(0, 2): a_drawn_mask(slice(8, 24), slice(8, 24))})

    torch.testing.assert_close(logits, before)


def test_cancelling_stops_between_slices() -> None:
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        make_consistent(
            a_block(slice(2, 6), slice(2, 6)),
            {},
            a_flat_image,
            size=SIZE,
            pixel_spacing=1.0,
            slice_spacing=4.0,
            parts=[1],
            config=ConsistencyConfig(),
            check=stop,
        )
    assert len(calls) == 3


def test_part_count_ignores_specks() -> None:
    mask = a_drawn_mask(slice(8, 24), slice(8, 24)) | a_drawn_mask(slice(40, 56), slice(40, 56))
    mask[2, 60] = True

    assert part_count(mask) == 2
    assert part_count(np.zeros((4, 4))) == 0


def test_outlines_move_to_the_edges_of_the_image() -> None:
    def image(_slice: int) -> np.ndarray:
        return 2.0 * a_drawn_mask(slice(17, 34), slice(17, 34)).astype(np.float32)

    logits = a_block(slice(4, 9), slice(4, 9), value=2.0)  # 16 to 36 pixels: one pixel too early and two too late
    truth = a_drawn_mask(slice(17, 34), slice(17, 34))

    def errors(result: torch.Tensor) -> int:
        return int(((result[0, 2] > 0).numpy() != truth).sum())

    refined = make_consistent(
        logits, {}, image, size=SIZE, pixel_spacing=1.0, slice_spacing=4.0, parts=[1], config=ConsistencyConfig()
    )

    assert errors(refined) < errors(consistent(logits)) / 2
