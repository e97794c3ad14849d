"""Which profile was chosen for this build: light, so that every page may ask."""

import os

DEFAULT = "default"
CHOSEN = os.environ.get("BOOK_PROFILE") or DEFAULT  # a name in book/profiles, or the path of a YAML file
IS_SHIPPED = CHOSEN == DEFAULT
