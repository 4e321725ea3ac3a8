"""Many UTCTimes at once: whether each is a moment there can be (RFC 5280 §5.1.2.6), and what it says.

`detail` is how they are kept: year, month and day, hour, minute and second as pairs of digits, four bits each, in turn
from the lowest octet on: year, hour, month, minute, day, second.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint64]


def word(octets: str | bytes) -> np.uint64:
    """Up to eight octets as a row's word holds them."""
    return np.uint64(int.from_bytes(bytes.fromhex(octets) if isinstance(octets, str) else octets, "little"))


# A date's words, from its tag on: exclusive or with these leaves digits, and nothing at all of a tag, a length and Z.
_DATE: Final = word(b"\x17\x0d000000")
_TIME: Final = word(b"000000Z\x00")
_SEVEN: Final = word("ffffffffffffff")
# Added to that, an octet has its highest bit where it is more than nine, or more than nothing.
_DATE_LEAST: Final = word("7f7f767676767676")
_TIME_LEAST: Final = word("7676767676767f00")
_HIGHEST: Final = word("80" * 8)
_LANES: Final = np.uint64(0x00FF00FF00FF)  # pairs of digits, four bits each, in lanes of sixteen
_TOP: Final = np.uint64(0x800080008000)
_LEAST_DATE: Final = np.uint64(0x800080008000 - 0x000100010000)  # year 00, month 01, day 01
_MOST_DATE: Final = np.uint64(0x800080008000 + 0x003100120099)
_MOST_TIME: Final = np.uint64(0x800080008000 + 0x005900590023)
_LATE: Final = np.uint64(0x30 << 32)
_OCTET: Final = np.uint64(0xFF)
_SHORT_MONTHS: Final = np.array([month in {0x04, 0x06, 0x09, 0x11} for month in range(256)])
_FOUR, _EIGHT, _TWELVE, _TWENTY_FOUR = (np.uint64(bits) for bits in (4, 8, 12, 24))


def moments(dates: Words, times: Words) -> Words | None:
    """UTCTimes as `detail` holds them, from the words that begin at their tag and eight octets later; None where one
    is none.
    """
    date, time = dates ^ _DATE, times ^ _TIME
    time &= _SEVEN
    strange = date + _DATE_LEAST
    strange |= date
    strange |= time
    strange |= time + _TIME_LEAST
    if np.bitwise_or.reduce(strange) & _HIGHEST:
        return None
    date = (date >> _TWELVE | date >> _TWENTY_FOUR) & _LANES
    time = (time << _FOUR | time >> _EIGHT) & _LANES
    possible = date + _LEAST_DATE
    possible &= _MOST_DATE - date
    possible &= _MOST_TIME - time
    if np.bitwise_and.reduce(possible) & _TOP != _TOP:
        return None
    late = np.flatnonzero(date >= _LATE)
    if late.size:
        month, day = ((date[late] >> 16) & _OCTET).astype(np.int64), date[late] >> 32
        if ((month == 2) | (_SHORT_MONTHS[month] & (day == 0x31))).any():
            return None
    time <<= 8
    time |= date
    return time
