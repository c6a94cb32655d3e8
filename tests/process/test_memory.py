"""Whether memory ran out is a guess by the kernel's counter."""

from __future__ import annotations

from pathlib import Path

import pytest

from zproc.process import kills_for_memory, memory


def test_the_kernels_counter_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 3\nswap_ra 0\n")
    monkeypatch.setattr(memory, "_COUNTERS", str(tmp_path / "vmstat"))
    assert kills_for_memory() == 3


@pytest.mark.parametrize("text", ["nr_free_pages 5\n", None])
def test_where_there_is_no_counter_nobody_was_killed(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "vmstat").write_text(text)
    monkeypatch.setattr(memory, "_COUNTERS", str(tmp_path / "vmstat"))
    assert kills_for_memory() == 0
