"""The garbage collector looks rarely while policies are loaded, and as before afterwards."""

from __future__ import annotations

import gc

from klausel.service.rare_collections import rare_collections


def test_the_collector_looks_as_often_as_before_in_whatever_order_several_leave() -> None:
    usual = gc.get_threshold()
    first, second = rare_collections(), rare_collections()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold()[0] > usual[0]
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] > usual[0]
    second.__exit__(None, None, None)
    assert gc.get_threshold() == usual


def test_a_collector_that_is_switched_off_stays_so() -> None:
    usual = gc.get_threshold()
    try:
        for threshold in ((0, 10, 10), (1_000_000, 10, 10)):
            gc.set_threshold(*threshold)
            with rare_collections():
                assert gc.get_threshold() == threshold
            assert gc.get_threshold() == threshold
    finally:
        gc.set_threshold(*usual)
