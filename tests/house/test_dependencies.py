"""What we depend on is locked, hashed and free to use."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.message import Message
from types import ModuleType

import pytest
from packaging.requirements import Requirement


@pytest.fixture(scope="module")
def dependencies(load_check: Callable[[str], ModuleType]) -> ModuleType:
    return load_check("dependencies")


def test_this_environment_and_these_locks_pass(dependencies: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert dependencies.main([]) == 0, capsys.readouterr().err


def test_a_requirement_that_is_not_locked_or_locked_too_old_is_named(dependencies: ModuleType) -> None:
    pins = dependencies.pinned("flask==3.0.0 \\\n    --hash=sha256:00\npyJWT_x==1.0\n")
    assert pins == {"flask": "3.0.0", "pyjwt-x": "1.0"}
    wanted = [Requirement(text) for text in ("Flask>=3.1", "pyjwt.x", "click>=8")]
    assert dependencies.unsatisfied(wanted, pins) == ["Flask>=3.1 is locked at 3.0.0", "click>=8 is not locked"]


def test_a_pin_without_a_hash_is_named(dependencies: ModuleType) -> None:
    lock = "a==1 \\\n    --hash=sha256:00\n    # via x\nb==2\n    # via a\nc==3 \\\n    --hash=sha256:00\n"
    assert dependencies.unhashed(lock) == ["b==2"]


def test_an_npm_package_is_locked_by_hash_bound_to_no_registry_and_runs_nothing(dependencies: ModuleType) -> None:
    good = {"version": "1.0.0", "integrity": "sha512-AAAA", "license": "MIT"}

    def faults(**changed: object) -> list[str]:
        package = {name: value for name, value in {**good, **changed}.items() if value is not None}
        packages = {"": {"dependencies": {"a": "1.0.0"}}, "node_modules/b/node_modules/@x/a": package}
        found = dependencies.npm_faults(json.dumps({"packages": packages}))
        assert all(fault.startswith("@x/a ") for fault in found)
        return [fault.removeprefix("@x/a ") for fault in found]

    assert faults() == []
    assert faults(integrity=None) == faults(integrity="sha1-AAAA") == ["1.0.0 has no hash"]
    assert faults(resolved="https://registry.example/a.tgz") == ["1.0.0 is bound to one registry"]
    assert faults(hasInstallScript=True) == ["1.0.0 runs a script when installed"]
    assert faults(license=None) == ["1.0.0 declares no licence"]
    loose = json.dumps({"packages": {"": {"dependencies": {"a": "^1.0.0", "b": "2.0.0"}}}})
    assert dependencies.npm_faults(loose) == ["a is not wanted in an exact version: ^1.0.0"]


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT", False),
        ("LGPL-3.0-only", False),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", False),
        ("GNU Library or Lesser General Public License (LGPL)", False),
        ("MIT OR GPL-2.0-only", False),
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("GNU Affero General Public License v3", True),
        ("MIT AND GPL-2.0-only", True),
    ],
)
def test_only_strong_copyleft_is_refused_at_run_time(dependencies: ModuleType, licence: str, refused: bool) -> None:
    assert dependencies.is_copyleft(licence) is refused


def test_a_licence_is_read_from_expression_then_classifiers_then_free_text(dependencies: ModuleType) -> None:
    class Distribution:
        def __init__(self, *fields: tuple[str, str]) -> None:
            self.metadata = Message()
            for name, value in fields:
                self.metadata[name] = value

    classifier = ("Classifier", "License :: OSI Approved :: MIT License")
    assert dependencies.licence(Distribution(("License-Expression", "MIT"), ("License", "other"))) == "MIT"
    assert dependencies.licence(Distribution(classifier, ("License", "long\ntext"))) == "MIT License"
    assert dependencies.licence(Distribution(("License", "BSD\nand so on"))) == "BSD"
    assert dependencies.licence(Distribution()) == "not declared"


def test_what_a_distribution_needs_is_followed_through_its_extras(dependencies: ModuleType) -> None:
    found = dependencies.closure([Requirement("pyjwt[crypto]"), Requirement("there-is-no-such-thing")])
    assert "cryptography" in found
    assert found["there-is-no-such-thing"] is None
    assert "cryptography" not in dependencies.closure([Requirement("pyjwt")])


def test_the_list_names_each_library_of_a_running_broker(
    dependencies: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dependencies.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert "flask " in listed
    assert "pytest " not in listed
