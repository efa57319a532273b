"""What counts as a hit, a miss and a false alarm, and what counts as neither."""

from __future__ import annotations

import numpy as np
import pytest

from training.detection.metrics import best_threshold, judge, recall_and_precision


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


PLATE = (100, 100, 200, 120)
FAR = (400, 80, 420, 85)


def test_each_plate_is_hit_once() -> None:
    one = judge(boxes(PLATE, (102, 100, 202, 120), (300, 0, 320, 5)), [0.9, 0.8, 0.7], boxes(PLATE))
    assert one.hits == [True, False, False]
    assert one.found_at == [pytest.approx(0.9)]


def test_a_plate_to_ignore_counts_neither_way() -> None:
    found = judge(boxes(PLATE, FAR), [0.9, 0.8], boxes(PLATE), boxes(FAR))
    missed = judge(boxes(PLATE), [0.9], boxes(PLATE), boxes(FAR))
    assert (found.hits, found.plates) == (missed.hits, missed.plates) == ([True], 1)
    strict = judge(boxes(PLATE, FAR), [0.9, 0.8], boxes(PLATE))
    assert strict.hits == [True, False]


def test_a_plate_that_counts_goes_before_one_to_ignore() -> None:
    one = judge(boxes(PLATE), [0.9], boxes(PLATE), boxes((90, 90, 210, 130)))
    assert one.hits == [True]


def test_a_place_to_ignore_excuses_what_lies_in_it_and_nothing_else() -> None:
    zone = boxes((300, 50, 500, 150))
    one = judge(boxes(FAR, (10, 10, 40, 20), (480, 60, 560, 80)), [0.9, 0.8, 0.7], boxes(), zone)
    assert one.hits == [False, False]


def test_the_threshold_parts_hits_from_false_alarms() -> None:
    judged = [
        judge(boxes(PLATE, FAR), [0.7, 0.3], boxes(PLATE)),
        judge(boxes(PLATE), [0.6], boxes(PLATE)),
    ]
    threshold, score = best_threshold(judged)
    assert 0.3 < threshold <= 0.6
    assert score == 1.0
    assert recall_and_precision(judged, threshold) == (2, 2, 2)


def test_a_single_mistake_more_or_less_tells_no_threshold_from_another() -> None:
    scores = [0.81, *[0.61] * 5]
    judged = [judge(boxes(PLATE), [score], boxes(PLATE)) for score in scores]
    judged += [judge(boxes(FAR), [score], boxes()) for score in (0.21, 0.21, 0.41)]
    threshold, score = best_threshold(judged)  # fewest mistakes: above 0.41
    assert threshold == pytest.approx(0.42)  # one more from 0.22 on; over 0.61 there are five
    assert score == 1.0
