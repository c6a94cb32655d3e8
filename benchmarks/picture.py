"""The results as pictures, in SVG.

The law: a picture shows what the table says and is the same for the same results, byte by byte. What counts is told by
shape and by words as well as by colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from row import Row, figure, from_json

__all__ = ["draw"]

# Text stays text, so that it can be searched and the files are small; names of shapes come from their content.
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zproc",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

_OURS = "#0b6e99"
_PEER = "#b8bfc6"
_SHORT = "#c4501b"
_NONE = "#6b7280"


def draw(results: Mapping[str, Any], directory: Path) -> list[Path]:
    """Draw the ratios of all rows, and the rates of those that have some; return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = [from_json(kept) for kept in results["rows"]]
    drawn = []
    with mpl.rc_context(_STYLE):
        for name, picture in (("ratios.svg", _ratios(rows)), ("rates.svg", _rates(rows))):
            if picture is not None:
                picture.savefig(directory / name, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
                drawn.append(directory / name)
    return drawn


def _colour(row: Row) -> str:
    return _NONE if not row.verdict else _OURS if row.verdict == "pass" else _SHORT


def _ratios(rows: Sequence[Row]) -> Figure | None:
    """Draw how many times better ours is, row by row, with the goals."""
    shown = [(row, row.ratio) for row in rows if row.ratio]
    if not shown:
        return None
    picture = Figure(figsize=(9, 0.8 + 0.2 * len(shown)))
    axes = picture.subplots()
    for place, (row, ratio) in enumerate(shown):
        ends = (min(row.rounds), max(row.rounds)) if row.rounds else (ratio, ratio)
        axes.plot(ends, (place, place), color=_colour(row), linewidth=1)
        axes.plot(ratio, place, color=_colour(row), marker="x" if "short" in row.verdict else "o", markersize=4)
        if row.goal:
            axes.plot(row.goal, place, color="black", marker="|", markersize=8)
    axes.axvline(1, color=_NONE, linewidth=0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} x"))
    axes.set_yticks(range(len(shown)), [row.what for row, _ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel(
        "times better than the peer, median and range of the rounds; | is the goal, o reaches it, x falls short of it"
    )
    return picture


def _rates(rows: Sequence[Row]) -> Figure | None:
    """Draw the rates side by side: a panel for each operation and number of clients."""
    panels: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.unit == "/s" and row.ours and row.peer and row.key[-2:] in {".1", ".8"}:
            bars = panels.setdefault(row.subject, {})
            bars.setdefault(f"zproc: {row.ours_name}", []).append(row.ours)
            bars.setdefault(row.peer_name, []).append(row.peer)
    if not panels:
        return None
    heights = [len(bars) for bars in panels.values()]
    picture = Figure(figsize=(7, 0.6 * len(panels) + 0.22 * sum(heights)), layout="constrained")
    all_axes = picture.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, bars) in zip(all_axes, panels.items(), strict=True):
        # Ours is measured beside each peer anew; its middle is what stands for all.
        medians = sorted((sorted(rates)[len(rates) // 2], name) for name, rates in bars.items())
        places = range(len(medians))
        axes.barh(
            places, [rate for rate, _ in medians], color=[_OURS if "zproc" in name else _PEER for _, name in medians]
        )
        for place, (rate, _) in zip(places, medians, strict=True):
            axes.text(rate, place, f" {figure(rate)}", va="center", fontsize=7)
        axes.set_yticks(places, [name for _, name in medians])
        axes.set_xticks([])
        axes.spines.bottom.set_visible(False)
        axes.set_title(f"{title}, operations a second", loc="left", fontsize=8)
    return picture
