"""What hundreds of applications made in one process need only once: templates and rules of addresses, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

_BUILDERS: Final[dict[tuple[Any, ...], Callable[..., Any]]] = {}


class _Templates(BytecodeCache):
    """In memory; Jinja compiles anew what has another checksum."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


def compile_once() -> None:
    """From here on. The function that writes a rule's address depends on its parts and defaults alone: converters are
    looked up in the rule it is bound to.
    """
    Flask.jinja_options = {"bytecode_cache": _Templates()}
    compile_builder = Rule._compile_builder

    def once(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
        key = (*rule._trace, append_unknown, repr(rule.defaults))
        if key not in _BUILDERS:
            _BUILDERS[key] = compile_builder(rule, append_unknown)
        return _BUILDERS[key]

    Rule._compile_builder = once  # type: ignore[assignment,method-assign]  # a function, and Werkzeug binds it
