from pathlib import Path

from benchmarks.queries_beside_import import measure


def test_both_kinds_of_rounds_are_measured(small_checkpoint: Path) -> None:
    result = measure(small_checkpoint, num_rounds=1, seconds=0.3, num_frames=60)
    (row,) = result["rows"]
    headline = result["headline"]
    for kind in ("alone", "beside"):
        assert row[kind]["queries"] > 0
        assert 0 < row[kind]["p50"] <= row[kind]["p95"] <= row[kind]["p99"] <= row[kind]["max"]
        assert headline[f"p95_ms_{kind}"] == row[kind]["p95"]
    assert headline["p95_ratio"] == row["beside"]["p95"] / row["alone"]["p95"]
