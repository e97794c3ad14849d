"""A label may move to another page between two builds.

Sphinx forgets what a changed page said only when it reads that page again. A page that is read before it and
has taken over one of its labels then has a duplicate, and loses it when the other page is forgotten at last.
"""

from typing import Any

from sphinx.application import Sphinx


def forget(app: Sphinx, env: Any, pages: list[str]) -> None:
    """Forget all pages that will be read before the first one is."""
    for page in pages:
        if page in env.all_docs:
            app.emit("env-purge-doc", env, page)
            env.clear_doc(page)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("env-before-read-docs", forget, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
