"""``{house} picture`` (or sizes, functions, way, edits): this book's own sources, read when the page is.

No kernel runs for them: a page that depends on every source file would run again after every edit. It is
read again in every build instead.
"""

import html
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

KINDS = ("picture", "sizes", "functions", "way", "edits")


class HouseDirective(SphinxDirective):
    """One of `KINDS`; ``alt`` says what the picture shows."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012  (docutils' own way)

    def run(self) -> list[nodes.Node]:
        kind = directives.choice(self.arguments[0], KINDS)
        self.env.note_reread()
        return [self.picture() if kind == "picture" else self.parse(kind)]

    def picture(self) -> nodes.Node:
        """The house as SVG inside the page, in its colours."""
        from book.study.how_it_is_built.draw import picture
        from book.study.how_it_is_built.house import House

        alt = html.escape(self.options["alt"])
        drawn = picture(House(Path(self.env.srcdir))).replace(
            "<svg", f'<svg role="img" aria-label="{alt}"', 1
        )
        return nodes.raw("", f'<div class="house">{drawn}</div>', format="html")

    def parse(self, kind: str) -> nodes.Node:
        """MyST text, parsed where the directive stands."""
        from book.study import profile
        from book.study.how_it_is_built import tables, way
        from book.study.how_it_is_built.house import House
        from lib import records

        root = Path(self.env.srcdir)
        if kind == "way":
            try:
                text = way.steps(root, profile.load(way.NOTEBOOK, **way.asked(root)))
            except profile.NotMeasured as gap:
                said = nodes.paragraph("", f"Not measured in this profile: {gap}")
                return nodes.container("", said, classes=["not-measured"])
        elif kind == "edits":
            text = tables.edits(records.load_measured("benchmarks.edits", before="0896ad2").record)
        else:
            text = getattr(tables, kind)(House(root))
        holder = nodes.container(classes=["house-text"])
        self.state.nested_parse(StringList(text.splitlines(), self.env.docname), self.content_offset, holder)
        return holder


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("house", HouseDirective)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
