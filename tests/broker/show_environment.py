"""Prints what it was given to live in."""

import os

print(dict(os.environ))  # noqa: T201 -- its output
