"""How the documents are built. English is the source; Japanese comes through gettext (docs/locale/ja)."""

import configparser
from pathlib import Path

_setup = configparser.ConfigParser(interpolation=None)
_setup.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")

project = _setup["metadata"]["name"]
author = "the jpki-broker authors"
version = release = _setup["metadata"]["version"]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "images/README.md"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
nitpicky = True

language = "en"
locale_dirs = ["locale"]
gettext_compact = "docs"
gettext_uuid = False

html_theme = "alabaster"
html_theme_options = {"description": _setup["metadata"]["description"]}
# Nothing from third parties, in the documents as in the pages.
html_use_smartypants = False
smartquotes = False
