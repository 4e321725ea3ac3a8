"""The page that makes things go wrong: revocation lists, OCSP and the mapping as no verifier wants them."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from sandbox.trouble import CHOICES, Trouble
from sandbox.world.language import language
from sandbox.world.origin import own_pages_only
from sandbox.world.registry import Registry


def trouble_blueprint(registry: Registry, *, host: str, origin: str) -> Blueprint:
    """The page at `/trouble` and its form."""
    page = Blueprint("trouble", __name__)
    own_pages_only(page, host=host, origin=origin)

    @page.get("/trouble")
    def show() -> str:
        now = registry.trouble()
        words = _words()
        services = [
            {
                "name": name,
                "label": _labels()[name],
                "choices": [
                    {"value": choice, "label": words[choice], "chosen": choice == getattr(now, name)}
                    for choice in choices
                ],
            }
            for name, choices in CHOICES.items()
        ]
        return render_template("trouble.html", services=services, trouble=now, done=request.args.get("done") == "made")

    @page.post("/trouble")
    def make() -> Response:
        try:
            wanted = Trouble(**{name: request.form.get(name, "") for name in CHOICES})
        except ValueError:
            abort(400)
        registry.make_trouble(wanted)
        return redirect(url_for("trouble.show", lang=language(), done="made"), 303)

    return page


def _labels() -> dict[str, str]:
    return {
        "crl": gettext("失効リスト（CRL）"),
        "ocsp": gettext("OCSP"),
        "mapping": gettext("新旧シリアル番号の対応"),
    }


def _words() -> dict[str, str]:
    return {
        "none": gettext("正常"),
        "unavailable": gettext("応答しない（503）"),
        "slow": gettext("5秒遅れて応答する"),
        "stale": gettext("有効期間を過ぎた古いものを返す"),
        "truncated": gettext("途中で切れている"),
        "wrong-key": gettext("別の鍵で署名されている"),
        "rolled-back": gettext("番号が前に戻り、失効の記載がない"),
        "shrunk": gettext("失効の記載がすべて消えている"),
        "grown": gettext("記載が急に2000件増えている"),
        "indirect": gettext("間接CRLの印がある"),
        "try-later": gettext("「あとで」と答える（tryLater）"),
        "unknown": gettext("どの証明書も知らないと答える（unknown）"),
        "wrong-nonce": gettext("別のnonceを返す"),
        "no-nonce": gettext("nonceを返さない"),
        "contradictory": gettext("矛盾したことを答える"),
        "other-question": gettext("別の問いに答える"),
    }
