"""What a page says of measurements that were made with other code than today's."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from IPython.display import HTML, display


def tell(banners: Iterable[str | None]) -> None:
    """Show how many of some measurements are of earlier code, and folded what has changed; else nothing.

    banners: of each measurement its `records.Measured.banner`, None where its code is today's.
    """
    each = list(banners)
    if not (old := sorted({banner for banner in each if banner})):
        return
    count = sum(banner is not None for banner in each)
    many = "measurement was" if len(each) == 1 else f"of {len(each)} measurements were"
    lines = "".join(f"<li>{escape(banner)}</li>" for banner in old)
    title = f"{count} {many} made with earlier code"
    display(HTML(f"<details><summary>{title}</summary><ul>{lines}</ul></details>"))
