"""Open an account with what the card proves: name, address, birth date, sex, and the receipt for the file.

python open_account.py --registration           what the broker's operator adds (`broker client add --file`)
python open_account.py                          prints an address; open it in a browser, and the form is filled in
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from receipts.verify import check
from service import Refused, Service, private_key, public_jwk, wait_for_browser

SCOPE = "openid name address birthdate gender"
PURPOSE = {
    "name": ("口座の名義人の確認", "To know in whose name the account is"),
    "address": ("本人確認と書類の送付", "To know who you are, and to send you letters"),
    "birthdate": ("本人確認", "To know who you are"),
    "gender": ("本人確認", "To know who you are"),
}


def registration(client_id: str, redirect_uri: str, jwk: dict[str, str]) -> dict[str, Any]:
    """`vetted` and `rights` are the operator's to say, once they know who you are."""
    return {
        "client_id": client_id,
        "client_name": "みほん証券（見本）",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "client_credentials"],
        "scope": f"{SCOPE} receipts",
        "token_endpoint_auth_method": "private_key_jwt",
        "require_pushed_authorization_requests": True,
        "jwks": {"keys": [jwk]},
        "data_use": {
            item: {
                "purpose": ja,
                "purpose_en": en,
                "retention": "口座を解約してから7年間",
                "retention_en": "Seven years after the account is closed",
                "optional": item == "gender",
            }
            for item, (ja, en) in PURPOSE.items()
        },
        "profile": "oidc",
        "vetted": True,
        "rights": ["identity_proofing"],
    }


def application(claims: dict[str, Any]) -> dict[str, Any]:
    """The form as the teller sees it. A claim that is absent was not proved, or not agreed to: never guess it."""
    return {
        "customer": claims["sub"],
        "name": claims["name"],
        "address": claims["address"]["formatted"],
        "birthdate": claims["birthdate"],  # "1980" or "1980-05": the register itself knows no more of some people
        "gender": claims.get("gender"),
        "proved_by": claims["acr"],
    }


def open_account(service: Service, keys: dict[str, Any]) -> dict[str, Any]:
    """The whole story. Raises Refused where the resident said no, or something did not hold."""
    pending = service.begin(SCOPE)
    sys.stdout.write(f"{pending.url}\n")
    sys.stdout.flush()
    claims, tokens = service.finish(pending, wait_for_browser(service.redirect_uri))
    told = service.get(service.metadata["userinfo_endpoint"], token=tokens["access_token"])
    if told["sub"] != claims["sub"]:
        raise Refused("userinfo is about somebody else")
    receipt = service.receipt(claims["receipt"])
    said = check(receipt, keys)
    if (said["kind"], said["aud"], said["sub"]) != ("proof", service.client_id, claims["sub"]):
        raise Refused("the receipt is about something else")
    return {"application": application({**told, **claims}), "receipt": receipt}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--issuer", default="http://localhost:8000")
    parser.add_argument("--client-id", default="sample-securities")
    parser.add_argument("--redirect-uri", default="http://127.0.0.6:8005/callback")
    parser.add_argument("--state", type=Path, default=Path(), help="where the key and the receipts are kept")
    parser.add_argument("--registration", action="store_true")
    given = parser.parse_args()
    key = private_key(given.state / "client-key.pem")
    if given.registration:
        told = registration(given.client_id, given.redirect_uri, public_jwk(key, use="sig", alg="ES256"))
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
        return
    try:
        service = Service(given.issuer, given.client_id, given.redirect_uri, key)
        keys = service.get(service.metadata["receipt_keys_uri"])
        opened = open_account(service, keys)
    except (Refused, KeyError) as refused:
        sys.exit(f"no account was opened: {refused}")
    (given.state / "receipt.jwt").write_text(opened["receipt"])
    (given.state / "receipt-keys.json").write_text(json.dumps(keys))
    sys.stdout.write(json.dumps(opened["application"], ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
