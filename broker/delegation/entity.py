"""Procuring entities (発注機関) that are known here: a file of their codes and names.

[[entity]]
code = "100001"
name = "架空県"
name_en = "Kakuu Prefecture"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from broker.errors import PolicyInvalid

MAX_ENTITIES: Final = 20_000
MAX_FILE: Final = 4 * 1024 * 1024
_CODE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,200}", re.ASCII)
_MEMBERS: Final = frozenset({"code", "name", "name_en"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcuringEntity:
    """One of them."""

    code: str
    name: str
    name_en: str = ""

    def into(self, language: str) -> str:
        """Its name in `language`; in Japanese where there is no other."""
        return self.name_en if language == "en" and self.name_en else self.name


Entities = Mapping[str, ProcuringEntity]
"""By code."""
NONE_LISTED: Final[Entities] = MappingProxyType({})


def read(data: bytes) -> Entities:
    """The entities in a TOML file. Raises PolicyInvalid."""
    if len(data) > MAX_FILE:
        raise PolicyInvalid("procuring entities: too long")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as broken:
        raise PolicyInvalid(f"procuring entities: {broken}") from None
    rows = document.get("entity")
    if document.keys() != {"entity"} or not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ENTITIES:
        raise PolicyInvalid(f"procuring entities: 1 to {MAX_ENTITIES} tables named entity, and nothing else")
    found = [_entity(row, n) for n, row in enumerate(rows, start=1)]
    known = {entity.code: entity for entity in found}
    if len(known) != len(found):
        raise PolicyInvalid("procuring entities: a code stands twice")
    return MappingProxyType(known)


def _entity(row: Any, n: int) -> ProcuringEntity:
    if not isinstance(row, dict) or not {"code", "name"} <= row.keys() <= _MEMBERS:
        raise PolicyInvalid(f"procuring entities: entity {n} has code, name and perhaps name_en")
    if not all(isinstance(each, str) and 1 <= len(each) <= 200 and each.isprintable() for each in row.values()):
        raise PolicyInvalid(f"procuring entities: entity {n}: texts of 1 to 200 characters")
    if not _CODE.fullmatch(row["code"]):
        raise PolicyInvalid(f"procuring entities: entity {n}: code of A-Z a-z 0-9 . _ : / -")
    return ProcuringEntity(**row)
