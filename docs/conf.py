"""Sphinx's configuration. Warnings are errors (``make docs``), and every reference must lead somewhere."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "CernVM Hub"
author = "The CernVM Hub authors"
copyright = "The CernVM Hub authors, BSD-3-Clause"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "autodoc_traits",
    "ourcode",
    "restapi",
    "metricspage",
]
exclude_patterns = ["_build", "reference/generated"]
templates_path: list[str] = []
# Help texts and docstrings write code in single backticks.
default_role = "code"

# --- Markdown ---

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# --- reference from the code ---

# autodoc-traits extends the documenters that Sphinx 9 keeps under this switch.
autodoc_use_legacy_class_based = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = True
napoleon_google_docstring = False
nitpicky = True
# Other projects' objects: their own documentation is not fetched, so that this builds without a network.
# The models of the contract are on the page of the REST API, which is made from its own document.
nitpick_ignore_regex = [(r"py:.*", r"(?!cernvm).*"), (r"py:.*", r"cernvmapi\.(models|usage|consoles)\..*")]

# --- pages ---

html_theme = "pydata_sphinx_theme"
html_title = "CernVM Hub"
html_static_path = ["_static"]
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "icon_links": [],
}
html_show_sourcelink = False
html_copy_source = False
