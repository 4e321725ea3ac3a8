"""Two residents do everything in the same moment, pair after pair: no answer of one ever reaches the other (R5).

A few pairs of what `python -m tests.campaigns.link_pairs` does ten thousand times, in several processes at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.broker.web.house import House
from tests.campaigns.link_pairs import beside, run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PAIRS = 4
ANSWERS = 2 * (7 + 11)  # of a pair: the login, the link


class Cache:
    """The mistake that the campaign is there to find: an answer is kept by its address alone."""

    def __init__(self, application: WSGIApplication, path: str) -> None:
        self._application, self._path = application, path
        self._kept: dict[str, list[bytes]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = self._application(environ, start_response)
        return self._kept.setdefault(self._path, list(body)) if environ["PATH_INFO"] == self._path else body


def test_pairs_in_the_same_moment_never_cross(house: House) -> None:
    found = run(house, pairs=PAIRS, seed=1)
    assert found.crossings == ()
    assert (found.pairs, found.impossible) == (PAIRS, 0)
    assert len(found.spans) >= PAIRS * ANSWERS  # more where a busy machine kept the store from somebody


def test_the_pairs_find_an_answer_that_is_kept_for_the_next(house: House) -> None:
    house.app.wsgi_app = Cache(house.app.wsgi_app, "/userinfo")  # type: ignore[method-assign]  # Flask's way to wrap it
    found = run(house, pairs=1, seed=1)
    assert any("saw at /userinfo the sub of" in crossing for crossing in found.crossings)


def test_answers_beside_those_of_another_house_are_counted() -> None:
    alone, within, across = (0.0, 1.0), (2.0, 3.0), (2.5, 9.0)
    assert beside([(alone, within), (across, (5.0, 6.0))]) == 2
    assert beside([(alone, (5.0, 6.0)), (across, within)]) == 2
    assert beside([(alone, across)]) == 0
