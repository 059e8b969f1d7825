"""Configuration of Sphinx."""

import theanets

project = "theanets"
author = "the theanets developers"
copyright = author
version = release = theanets.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"theanets {release}"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
# They are for newer versions of Python only than the documentation may be built by.
autodoc_mock_imports = ["pymc", "xarray", "dask", "distributed", "cloudpickle"]
# Names in single backticks are links where there is something to link to.
default_role = "py:obj"
