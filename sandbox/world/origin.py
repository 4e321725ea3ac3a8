"""Whom the pages for people answer: this host name, and forms that stand on them."""

from __future__ import annotations

from flask import Blueprint, abort, request


def own_pages_only(blueprint: Blueprint, *, host: str, origin: str) -> None:
    """Refuse another Host, and a form of another Origin, with 403, on every route of `blueprint`.

    Any page on this machine or beyond can post to loopback, and DNS can be made to point at it.
    """

    def judge() -> None:
        if request.host != host or (request.method == "POST" and request.headers.get("Origin") != origin):
            abort(403)

    blueprint.before_request(judge)
