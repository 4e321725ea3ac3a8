"""The changelog is written one fragment at a time, so that two changes never meet in one file.

A fragment is `changelog.d/NAME.KIND.md`: NAME says what it is about (lower case, hyphens; an issue's number may lead),
KIND is one of KINDS, and the text is one paragraph for the people who use the product.

    python .ci/changelog.py                       what the next release would say
    python .ci/changelog.py --release 0.2.0 DATE  put it on top of CHANGELOG.md and remove the fragments
"""

# ruff: noqa: T201  # a command: what it prints is its result

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

KINDS = {
    "security": "Security",
    "added": "Added",
    "changed": "Changed",
    "deprecated": "Deprecated",
    "removed": "Removed",
    "fixed": "Fixed",
}
"""The headings of keepachangelog.com, in the order in which a reader needs them."""

NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.(?P<kind>[a-z]+)\.md")


def faults(name: str, text: str) -> list[str]:
    """What is wrong with a fragment, each in a sentence."""
    found = []
    match = NAME.fullmatch(name)
    if match is None or match["kind"] not in KINDS:
        found.append(f"{name}: the name must be subject.KIND.md with KIND one of {', '.join(KINDS)}")
    body = text.strip()
    if not body:
        found.append(f"{name}: says nothing")
    elif "\n\n" in body:
        found.append(f"{name}: must be one paragraph")
    elif body.startswith(("#", "-", "*")):
        found.append(f"{name}: must be a sentence, not a heading or a list item")
    elif not body.endswith("."):
        found.append(f"{name}: must end with a full stop")
    return found


def fragments(folder: Path) -> dict[str, str]:
    """File name to text, for every fragment of the folder."""
    paths = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def compose(texts: dict[str, str]) -> str:
    """The section that these fragments make, without its title. Fragments must be well-formed."""
    parts = []
    for kind, heading in KINDS.items():
        lines = [f"- {' '.join(text.split())}" for name, text in sorted(texts.items()) if name.split(".")[-2] == kind]
        if lines:
            parts.append(f"### {heading}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Print the next section, or make it a release. Returns 1 when a fragment is malformed."""
    folder = ROOT / "changelog.d"
    texts = fragments(folder)
    wrong = [fault for name, text in texts.items() for fault in faults(name, text)]
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    if not arguments:
        print(compose(texts) or "nothing to tell yet")
        return 0
    if len(arguments) != 3 or arguments[0] != "--release":
        print(__doc__, file=sys.stderr)
        return 2
    changelog = ROOT / "CHANGELOG.md"
    before, mark, after = changelog.read_text(encoding="utf-8").partition("<!-- newest first -->\n")
    section = f"\n## {arguments[1]} ({arguments[2]})\n\n{compose(texts)}"
    changelog.write_text(before + mark + section + after, encoding="utf-8")
    for name in texts:
        (folder / name).unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
