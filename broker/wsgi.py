"""`broker.wsgi:app` for granian, gunicorn or any WSGI server; the environment is read once, here."""

from __future__ import annotations

import os

from broker.app import create_app
from broker.settings import PREFIX, read

app = create_app(read(os.environ))

# granian copies the process environment into every request's; secrets and ballast stay out of it
for _name in [name for name in os.environ if name.startswith(PREFIX)]:
    del os.environ[_name]
