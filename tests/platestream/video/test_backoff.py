"""Pauses grow to their limit, differ, and begin anew after a good while."""

from __future__ import annotations

from platestream.video import Backoff


def test_pauses_grow_to_the_longest_and_are_not_all_the_same() -> None:
    backoff = Backoff(30.0)
    pauses = [backoff.pause_s(0.0) for _ in range(200)]
    for number, pause in enumerate(pauses):
        ceiling = min(30.0, 0.5 * 2**number)
        assert ceiling / 2 <= pause <= ceiling
    assert len({round(pause, 3) for pause in pauses[10:]}) > 100


def test_a_source_that_lasted_is_tried_fast_again_and_one_that_flaps_is_not() -> None:
    backoff = Backoff(30.0)
    for _ in range(8):
        backoff.pause_s(0.1)
    assert backoff.pause_s(0.1) >= 15.0
    assert backoff.pause_s(60.0) <= 0.5
