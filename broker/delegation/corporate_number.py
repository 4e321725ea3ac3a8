"""法人番号, the corporate number: thirteen digits, the first of which checks the others.

Source: 法人番号の指定等に関する省令 (平成26年財務省令第70号) art. 2; the National Tax Agency publishes all of them.
It is not the 個人番号: anybody may use it for anything.
"""

from __future__ import annotations

from broker.delegation.rules import Rule
from broker.errors import PowerRefused


def check_digit(base: str) -> int:
    """For twelve digits: 9 - (Σ Pn·Qn mod 9), where n counts from the right and Qn is 1 for odd n, 2 for even n."""
    total = sum(int(digit) * (1 if n % 2 else 2) for n, digit in enumerate(reversed(base), start=1))
    return 9 - total % 9


def check(number: str, where: str = "") -> None:
    """Raises PowerRefused at `where`, a part of a document: not thirteen ASCII digits, or a digit was mistyped."""
    if len(number) != 13 or not (number.isascii() and number.isdigit()) or int(number[0]) != check_digit(number[1:]):
        raise PowerRefused(Rule.CORPORATE_NUMBER, where)
