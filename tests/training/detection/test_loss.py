"""What a smaller detector is taught by a larger one's map."""

from __future__ import annotations

import torch

from training.detection.loss import taught


def maps() -> tuple[torch.Tensor, torch.Tensor]:
    """A map with one plate, seen by its middle at row 3, column 4, and where plates are."""
    told = torch.zeros(1, 9, 8, 8)
    told[:, 0] = -6.0
    told[0, 0, 3, 4] = 4.0
    told[0, 1:, 3, 4] = torch.tensor([-2.0, -0.5, 2.0, -0.5, 2.0, 0.5, -2.0, 0.5])
    heat = torch.zeros(1, 8, 8)
    heat[0, 3, 4] = 1
    return told, heat


def test_what_says_the_same_lacks_nothing() -> None:
    told, heat = maps()
    assert taught(told.clone(), told, heat) == 0


def test_a_plate_missed_or_invented_costs() -> None:
    told, heat = maps()
    missed, invented = told.clone(), told.clone()
    missed[0, 0, 3, 4] = -6.0
    invented[0, 0, 6, 1] = 4.0
    assert taught(missed, told, heat) > 1
    assert taught(invented, told, heat) > 1


def test_corners_count_only_where_the_teacher_sees_a_plate() -> None:
    told, heat = maps()
    moved, elsewhere = told.clone(), told.clone()
    moved[0, 1:, 3, 4] += 1
    elsewhere[0, 1:, 6, 1] += 1
    assert taught(moved, told, heat) > 1
    assert taught(elsewhere, told, heat) == 0


def test_nothing_to_be_seen_is_no_error() -> None:
    told, heat = maps()
    told[:, 0] = -6.0
    assert taught(told.clone(), told, torch.zeros_like(heat)) == 0
