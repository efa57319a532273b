"""Assignment: which of the new detections belongs to which track, at the least total cost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def assign(cost: npt.NDArray[np.float64], limit: float) -> list[tuple[int, int]]:
    """Pairs rows with columns so that the sum of costs is least.

    Shortest augmenting paths with potentials (Jonker and Volgenant 1987, "A shortest augmenting
    path algorithm for dense and sparse linear assignment problems"). Every row has a way out that
    costs ``limit``: to stay alone. A pair is therefore made only where it saves something.

    Args:
        cost: NxM, below infinity where a pair is possible; negative costs will do.
        limit: What it costs to leave a row alone.

    Returns:
        Pairs of row and column, by row; each row and column at most once.
    """
    rows, columns = cost.shape
    wide = np.full((rows, columns + rows), np.inf)
    wide[:, :columns] = np.where(cost < limit, cost, np.inf)
    wide[np.arange(rows), columns + np.arange(rows)] = limit
    row_potential, column_potential = np.zeros(rows), np.zeros(columns + rows)
    row_of = np.full(columns + rows, -1)
    for new in range(rows):
        distance = np.full(columns + rows, np.inf)
        before = np.full(columns + rows, -1)
        done = np.zeros(columns + rows, bool)
        row, column, shortest = new, -1, 0.0
        while True:
            reached = wide[row] - row_potential[row] - column_potential + shortest
            nearer = ~done & (reached < distance)
            distance[nearer] = reached[nearer]
            before[nearer] = column
            column = int(np.where(done, np.inf, distance).argmin())
            shortest = float(distance[column])
            done[column] = True
            if row_of[column] < 0:
                break
            row = int(row_of[column])
        row_potential[new] += shortest
        for passed in np.flatnonzero(done & (row_of >= 0)):
            row_potential[row_of[passed]] += shortest - distance[passed]
            column_potential[passed] -= shortest - distance[passed]
        while column >= 0:
            previous = int(before[column])
            row_of[column] = new if previous < 0 else row_of[previous]
            column = previous
    return sorted((int(row_of[c]), c) for c in range(columns) if row_of[c] >= 0)
