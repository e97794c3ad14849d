"""Executed notebooks to download: each page that was executed offers its cells with their outputs.

They are the results that `pages` keeps, beside the sources of the pages; the theme shows them in its menu.
Where ``$BOOK_REPOSITORY`` names the public repository (``https://github.com/OWNER/NAME``) pages also have a
button that opens them on Binder, and one that opens ``colab.ipynb`` on Colab. Without it there is none.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

PUBLIC = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")
BRANCH = "main"


def executed(app: Sphinx) -> dict[str, Path]:
    """The executed notebook of each page that has one."""
    pages: dict[str, Any] = getattr(app, "book_pages", {})
    return {name: page.folder / "page.ipynb" for name, page in pages.items() if page.folder}


def with_notebook(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Put it into the page's menu; of a page that is a notebook itself it stands there as the source."""
    if page in executed(app) and not context.get("sourcename", "").endswith(".ipynb"):
        context["ipynb_source"] = f"{page}.ipynb"


def on_config(app: Sphinx, config: Config) -> None:
    """Tell the theme of the public repository, if there is one.

    Raises:
        ConfigError: it is no address of a repository.
    """
    address = os.environ.get("BOOK_REPOSITORY", "")
    if address and not PUBLIC.fullmatch(address):
        raise ConfigError(f"BOOK_REPOSITORY={address}: expected https://github.com/OWNER/NAME")
    if address:
        launch = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
        config.html_theme_options |= {"repository_url": address, "repository_branch": BRANCH}
        config.html_theme_options["launch_buttons"] = launch


def with_colab(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Beside the theme's button for Binder, where there is one, stands the notebook for Colab."""
    for group in context.get("header_buttons", ()):
        if group.get("label") == "launch-buttons":
            repository = os.environ["BOOK_REPOSITORY"].removeprefix("https://")
            address = repository.replace("github.com/", "https://colab.research.google.com/github/", 1)
            button = {"type": "link", "text": "Colab", "tooltip": "One run on Colab"}
            button |= {"icon": "_static/images/logo_colab.png", "url": f"{address}/blob/{BRANCH}/colab.ipynb"}
            group["buttons"].append(button)


def on_finished(app: Sphinx, error: Exception | None) -> None:
    """Copy the notebooks, after Sphinx has copied the sources."""
    for page, notebook in executed(app).items() if error is None and app.builder.name == "html" else ():
        target = Path(app.outdir) / "_sources" / f"{page}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, target)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx: before the theme writes its menu, and before the guard judges the build."""
    app.connect("config-inited", on_config, priority=850)
    app.connect("html-page-context", with_notebook, priority=490)
    app.connect("html-page-context", with_colab, priority=510)
    app.connect("build-finished", on_finished, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
