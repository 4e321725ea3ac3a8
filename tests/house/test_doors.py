"""The doors: what README promises, Makefile and .ci/run keep."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
READMES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md")}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("readme", READMES)
def test_every_make_command_that_a_readme_names_exists(readme: str) -> None:
    named = set(re.findall(r"\bmake ([a-z]+)", READMES[readme]))
    assert {"run", "test", "check", "bench"} <= named
    assert named <= targets()


@pytest.mark.parametrize("readme", READMES)
def test_everything_that_a_readme_links_to_is_there(readme: str) -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", READMES[readme])
    assert len(linked) >= 10
    # The picture is made by a journey; it may not be there before the first one ran.
    assert [link for link in linked if link != "docs/images/login.png" and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("readme", READMES)
def test_every_folder_that_a_readme_maps_is_there(readme: str) -> None:
    folders = re.findall(r"^\| `([a-z]+)/` \|", READMES[readme], re.MULTILINE)
    assert {"broker", "cardreader", "sandbox", "tests", "docs"} <= set(folders)
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def test_both_readmes_have_the_same_sections_commands_and_addresses() -> None:
    def shape(text: str) -> tuple[list[int], list[str], list[str], list[str]]:
        headings = [
            len(marks) for marks in re.findall(r"^(#+) ", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
        ]
        commands = re.findall(
            r"^(?:make \w+|\.venv/\S+ .*)", "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S)), re.M
        )
        rows = re.findall(r"^\| (`[^`]+`) \|", text, re.MULTILINE)
        return headings, commands, rows, sorted(re.findall(r"\]\(((?!README)[^)]+)\)", text))

    assert shape(READMES["README.md"]) == shape(READMES["README.ja.md"])


def test_ci_runs_exactly_the_tests_of_the_readme_and_then_the_checks() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert commands[0] == "set -eu"
    assert commands[-2:] == ["make test", "make check"]
    assert "export CI=true" in commands
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_make_alone_lists_every_target_with_a_word_about_it() -> None:
    shown = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^make (\w+) +\S", shown, re.MULTILINE))
    assert listed == targets()
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == targets()


def test_metadata_names_the_distribution_its_licence_and_its_commands() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert setup["metadata"]["name"] == "jpki-broker"
    assert setup["metadata"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / setup["metadata"]["license_files"]).read_text(encoding="utf-8")
    assert setup["options"]["python_requires"] == ">=3.11"
    assert setup["options.entry_points"]["console_scripts"].split("\n")[1:] == [
        "broker = broker.__main__:main",
        "cardreader = cardreader.__main__:main",
    ]
    extras = {"reader", "postgres", "hsm", "pades", "sandbox", "test", "bench"}
    assert extras <= set(setup["options.extras_require"])


def test_the_sandbox_is_not_in_the_distribution() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    included = setup["options.packages.find"]["include"].split()
    assert {name.partition(".")[0] for name in included} == {"broker", "cardreader"}
