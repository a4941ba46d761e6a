"""The benchmark of response times: its course of drags, and its summary."""

from __future__ import annotations

from itertools import pairwise

import pytest
import response


def test_course():
    """All places differ, are in the triangle of policies, and are far enough apart to move any
    figure."""
    places = list(response.course(150))
    assert len(set(places)) == 150
    assert all(x > 0.1 and y > 0.1 and x + y < 0.95 for x, y in places)
    steps = [abs(a - c) + abs(b - d) for (a, b), (c, d) in pairwise(places)]
    assert min(steps) > 0.01


def test_summary_and_budget():
    """Medians and 95th percentiles of each part; parts over the budget are named."""
    moves = [{part: float(t) for part in response.PARTS} for t in range(101)]
    row = response.summary(moves)
    assert row == {"events": 101} | {part: [50.0, 95.0] for part in response.PARTS}
    assert response.over(row) == ["median 50.0 > 16.0 ms", "p95 95.0 > 25.0 ms"]
    assert response.over({"response": [16.0, 25.0]}) == []


@pytest.mark.browser
def test_moves_are_seen(opened):
    """A drag in a page with the measuring script: each drawn move is counted, and its parts add
    up."""
    shown = opened()
    shown.page.evaluate(response.WATCH)
    moves = response.drag(shown.page, response.way_in_plane(shown.page, 20 + response.WARM))
    assert 0 < len(moves) <= 20
    for move in moves:
        assert move["response"] == pytest.approx(move["wait"] + move["work"])
        assert 0 <= move["script"] <= move["work"] + 0.2  # the clock's resolution
        assert move["wait"] > -0.2
