"""What a page says of measurements that were made with other code than today's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from html import escape

from IPython.display import HTML, display


def tell(banners: Iterable[str | None]) -> None:
    """Show how many of some measurements are of earlier code, and folded what has changed; else nothing.

    banners: of each measurement its `records.Measured.banner`, None where its code is today's.
    """
    each = list(banners)
    old = Counter(banner for banner in each if banner)
    if not (count := old.total()):
        return
    which = "measurement was" if len(each) == 1 else f"of {len(each)} measurements were"
    alike = {banner: f" ({times} of them)" if times > 1 else "" for banner, times in sorted(old.items())}
    lines = "".join(f"<li>{escape(banner + many)}</li>" for banner, many in alike.items())
    title = f"{count} {which} made with earlier code"
    display(HTML(f"<details><summary>{title}</summary><ul>{lines}</ul></details>"))
