"""The curves of a run as a figure; training itself does not need matplotlib."""

from __future__ import annotations

from pathlib import Path

from lib.training.loop import Progress


def draw_curves(progress: Progress, path: Path) -> Path | None:
    """Losses and validation errors against steps, written to `path`; None if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, curve, names in (
        (left, progress.losses, ("camera", "depth", "point", "match")),
        (right, progress.validations, ("rot_deg", "rot_identity_deg")),
    ):
        for name in names:
            axes.plot([point["step"] for point in curve], [point[name] for point in curve], label=name)
        axes.set_xlabel("step")
        axes.legend(frameon=False)
    left.set_title("training losses")
    right.set_title("median rotation error, validation rooms (degrees)")
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_figure(path)
    return path
