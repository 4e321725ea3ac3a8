"""Go programs that judge us, built without fetching anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def built(program: Path, folder: Path) -> Path:
    """The program with what such share (judging.go), and Debian's x/mod or Go's own copy; `folder` is new.

    Skips where Go is missing.
    """
    go = shutil.which("go")
    if go is None:
        pytest.skip("missing: golang-go")
    told = subprocess.run([go, "env", "GOROOT"], capture_output=True, text=True, check=True, timeout=60)
    places = (
        Path("/usr/share/gocode/src/golang.org/x/mod"),
        Path(told.stdout.strip(), "src/cmd/vendor/golang.org/x/mod"),
    )
    found = next((place for place in places if (place / "sumdb" / "tlog").is_dir()), None)
    if found is None:
        pytest.skip("missing: golang-golang-x-mod-dev")
    shutil.copytree(found, folder / "src" / "golang.org" / "x" / "mod")
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(folder), "GOCACHE": str(folder / "cache")}
    environment |= {"GOFLAGS": "", "GOPROXY": "off", "HOME": str(folder)}
    judge, files = folder / "judge", (program, program.with_name("judging.go"))
    subprocess.run(
        [go, "build", "-o", str(judge), *map(str, files)], env=environment, check=True, timeout=300, cwd=folder
    )
    return judge
