"""`verified_claims`, asked for and answered: OpenID Connect for Identity Assurance 1.0, negatives 59 of the suite."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.oidc import verified_claims
from broker.oidc.claims_request import ClaimsRequest, Place, parse, to_json
from broker.oidc.verified_claims import (
    DOCUMENT,
    JP_AML,
    Check,
    Evidence,
    EvidenceType,
    VerifiedData,
    answer,
    frameworks,
    metadata,
    own_framework,
    purposes,
    read,
    tell,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PROVED = NOW - timedelta(hours=1)
OURS = own_framework("https://login.example.jp")
CHECKS = (
    Check(method="vcrypt", organization="login.example.jp", time=PROVED),
    Check(method="token", organization="login.example.jp", time=PROVED),
)
CARD = Evidence(
    type=EvidenceType.DOCUMENT,
    checks=CHECKS,
    issuer="地方公共団体情報システム機構",
    issued=date(2024, 4, 1),
    expires=date(2034, 4, 1),
)
REGISTER = Evidence(type=EvidenceType.ELECTRONIC_RECORD, checks=CHECKS[:1], issuer="地方公共団体情報システム機構")
SIGNATURE = Evidence(
    type=EvidenceType.ELECTRONIC_SIGNATURE,
    checks=CHECKS,
    issuer="地方公共団体情報システム機構",
    created_at=PROVED,
)
CLAIMS = {
    "name": "山田花子",
    "birthdate": "1990-04-01",
    "gender": "female",
    "address": {"formatted": "東京都千代田区霞が関2-1-3", "country": "JP"},
}
PROOF = VerifiedData(trust_frameworks=(OURS,), time=PROVED, evidence=(CARD, REGISTER), claims=CLAIMS)


def element(claims: dict[str, Any] | None = None, **verification: Any) -> dict[str, Any]:
    return {
        "verification": {"trust_framework": None, **verification},
        "claims": {"name": None} if claims is None else claims,
    }


def told(given: Any, proof: VerifiedData | None = PROOF) -> Any:
    return answer(read(given), proof, now=NOW)


def document(**members: Any) -> dict[str, Any]:
    return {"type": {"value": "document"}, **members}


# --- 59: what the suite sends ----------------------------------------------------------------------------------------


def test_n59_unknown_claim_omitted() -> None:
    asked = element({"name": None, "favourite_colour": None})
    assert told(asked) == {"verification": {"trust_framework": OURS}, "claims": {"name": "山田花子"}}


def test_n59_unknown_essential_claim_omitted() -> None:
    asked = element({"name": {"essential": True}, "favourite_colour": {"essential": True}})
    assert told(asked)["claims"] == {"name": "山田花子"}


def test_n59_unknown_claim_with_special_characters_omitted() -> None:
    names = [
        "a b",
        '"quoted"',
        "<b>",
        "../..",
        "日本語",
        "\u0000",
        "_" * 300,
        "",
        "%2e",
        "name#ja-Kana-JP",
        "https://e.example/c",
    ]
    asked = element(dict.fromkeys(names) | {"name": None})
    assert told(asked)["claims"] == {"name": "山田花子"}
    assert told(element(dict.fromkeys(names))) is None


def test_n59_only_unknown_claims_leave_no_verified_claims() -> None:
    assert told(element({"favourite_colour": {"essential": True}})) is None


def test_n59_one_claim_with_random_value_omitted() -> None:
    asked = element({"name": None, "birthdate": {"value": "7fGh-random"}, "gender": {"values": ["x", "y"]}})
    assert told(asked)["claims"] == {"name": "山田花子"}
    assert told(element({"name": {"value": "7fGh-random"}})) is None


def test_n59_the_right_value_is_told() -> None:
    asked = element({"birthdate": {"value": "1990-04-01"}, "gender": {"values": ["male", "female"]}})
    assert told(asked)["claims"] == {"birthdate": "1990-04-01", "gender": "female"}


def test_n59_request_only_in_the_id_token_is_never_answered_in_userinfo() -> None:
    request = parse(json.dumps({"id_token": {"verified_claims": element()}}))
    assert answer(request.verified(Place.ID_TOKEN), PROOF, now=NOW) is not None
    assert request.verified(Place.USERINFO) == ()
    assert answer(request.verified(Place.USERINFO), PROOF, now=NOW) is None


def test_n59_request_only_in_userinfo_is_never_answered_in_the_id_token() -> None:
    request = parse(json.dumps({"userinfo": {"verified_claims": element()}}))
    assert answer(request.verified(Place.ID_TOKEN), PROOF, now=NOW) is None
    assert answer(request.verified(Place.USERINFO), PROOF, now=NOW) is not None


def test_nobody_has_been_verified_so_nothing_is_told() -> None:
    assert told(element(), None) is None
    assert answer((), PROOF, now=NOW) is None


# --- verification ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [None, {}, {"value": OURS}, {"values": ["de_aml", OURS]}], ids=str)
def test_our_trust_framework_is_told(said: object) -> None:
    assert told(element(trust_framework=said))["verification"] == {"trust_framework": OURS}


@pytest.mark.parametrize("said", [{"value": "de_aml"}, {"values": ["eidas", "jp_aml"]}, {"value": None}], ids=str)
def test_another_trust_framework_leaves_the_whole_out(said: object) -> None:
    assert told(element(trust_framework=said)) is None


def test_jp_aml_is_told_where_it_is_met_and_asked_for() -> None:
    assert frameworks(OURS, aml=True) == (OURS, JP_AML)
    assert frameworks(OURS, aml=False) == (OURS,)
    proof = replace(PROOF, trust_frameworks=(OURS, JP_AML))
    assert told(element(trust_framework={"value": JP_AML}), proof)["verification"] == {"trust_framework": JP_AML}
    assert told(element(), proof)["verification"] == {"trust_framework": OURS}


def test_what_was_not_asked_for_is_not_told() -> None:
    assert told(element()) == {"verification": {"trust_framework": OURS}, "claims": {"name": "山田花子"}}


def test_the_time_is_told_and_its_age_judged() -> None:
    assert told(element(time=None))["verification"]["time"] == "2026-11-21T11:00:00Z"
    assert told(element(time={"max_age": 3600}))["verification"]["time"] == "2026-11-21T11:00:00Z"
    assert told(element(time={"max_age": 3599})) is None
    assert told(element(time={"value": "2026-11-21T11:00:01Z"})) is None


def test_what_we_do_not_have_is_absent_and_what_is_demanded_of_it_unmet() -> None:
    asked = element(assurance_level=None, verification_process=None, assurance_process={"policy": None})
    assert told(asked)["verification"] == {"trust_framework": OURS}
    assert told(element(assurance_level={"value": "high"})) is None
    assert told(element(assurance_process={"policy": {"value": "gpg45"}})) is None
    assert told(element(assurance_level={"essential": True}))["verification"] == {"trust_framework": OURS}


def test_the_card_is_told_as_a_document() -> None:
    asked = element(
        evidence=[
            document(
                check_details=[{"check_method": None, "organization": None, "time": None, "check_id": None}],
                document_details={
                    "type": None,
                    "issuer": {"name": None, "country_code": None},
                    "date_of_issuance": None,
                    "date_of_expiry": None,
                    "document_number": None,
                    "serial_number": None,
                },
            )
        ]
    )
    check = {"organization": "login.example.jp", "time": "2026-11-21T11:00:00Z"}
    assert told(asked)["verification"] == {
        "trust_framework": OURS,
        "evidence": [
            {
                "type": "document",
                "check_details": [{"check_method": "vcrypt", **check}, {"check_method": "token", **check}],
                "document_details": {
                    "type": "jp_individual_number_card",
                    "issuer": {"name": "地方公共団体情報システム機構", "country_code": "JPN"},
                    "date_of_issuance": "2024-04-01",
                    "date_of_expiry": "2034-04-01",
                },
            }
        ],
    }


def test_the_register_is_told_as_an_electronic_record() -> None:
    asked = element(
        evidence=[{"type": {"value": "electronic_record"}, "record": {"type": None, "source": {"name": None}}}]
    )
    assert told(asked)["verification"]["evidence"] == [
        {
            "type": "electronic_record",
            "record": {"type": "population_register", "source": {"name": "地方公共団体情報システム機構"}},
        }
    ]


def test_several_kinds_of_evidence_are_alternatives() -> None:
    for kinds, expected in (
        (["document", "electronic_record"], ["document", "electronic_record"]),
        (["vouch", "document"], ["document"]),
        (["vouch", "electronic_signature"], None),
    ):
        result = told(element(evidence=[{"type": {"value": kind}} for kind in kinds]))
        assert (result and [part["type"] for part in result["verification"]["evidence"]]) == expected


@pytest.mark.parametrize(
    "restricted",
    [
        document(document_details={"type": {"value": "jp_drivers_license"}}),
        document(document_details={"type": {"values": ["passport", "idcard"]}}),
        document(document_details={"issuer": {"country_code": {"value": "DEU"}}}),
        document(document_details={"document_number": {"value": "1234"}}),
        document(document_details={"date_of_issuance": {"max_age": 3600}}),
        document(check_details=[{"check_method": {"value": "pvp"}}]),
        document(check_details=[{"check_method": {"value": "vcrypt"}, "organization": {"value": "elsewhere"}}]),
        document(method={"value": "pipp"}),
        document(attachments=[{"desc": {"value": "x"}}]),
        {"type": {"value": "electronic_signature"}, "issuer": {"value": "JPKI"}},
    ],
    ids=str,
)
def test_a_demand_on_the_evidence_that_is_not_met_leaves_the_whole_out(restricted: dict[str, Any]) -> None:
    assert told(element(evidence=[restricted])) is None


def test_checks_are_alternatives_too() -> None:
    asked = element(
        evidence=[document(check_details=[{"check_method": {"value": "token"}}, {"check_method": {"value": "pvp"}}])]
    )
    assert told(asked)["verification"]["evidence"] == [
        {"type": "document", "check_details": [{"check_method": "token"}]}
    ]


def test_an_answer_holds_what_its_schema_demands_though_nobody_asked() -> None:
    asked = element(evidence=[document(check_details=[{"time": None}], document_details={"date_of_expiry": None})])
    assert told(asked)["verification"]["evidence"] == [
        {
            "type": "document",
            "check_details": [
                {"check_method": "vcrypt", "time": "2026-11-21T11:00:00Z"},
                {"check_method": "token", "time": "2026-11-21T11:00:00Z"},
            ],
            "document_details": {"type": DOCUMENT, "date_of_expiry": "2034-04-01"},
        }
    ]


def test_each_element_of_an_array_is_answered_on_its_own() -> None:
    asked = [
        element({"name": None}),
        element({"name": None}, trust_framework={"value": "de_aml"}),
        element({"gender": None}),
    ]
    assert [part["claims"] for part in told(asked)] == [{"name": "山田花子"}, {"gender": "female"}]
    assert told(asked[:2])["claims"] == {"name": "山田花子"}
    assert told(asked[1:2]) is None


# --- malformed requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        None,
        True,
        "x",
        [],
        {},
        [None],
        [[]],
        [element()] * 9,
        {"claims": {"name": None}},
        {"verification": {"trust_framework": None}},
        {"verification": {}, "claims": {"name": None}},
        {"verification": {"time": None}, "claims": {"name": None}},
        {"verification": None, "claims": {"name": None}},
        {"verification": [], "claims": {"name": None}},
        element({}),
        {"verification": {"trust_framework": None}, "claims": None},
        {"verification": {"trust_framework": None}, "claims": ["name"]},
        element({"name": "x"}),
        element({"name": {"essential": 1}}),
        element({f"c{number}": None for number in range(33)}),
        element({"name": {"purpose": "ab"}}),
        element({"name": {"purpose": "a" * 301}}),
        element({"unknown": {"purpose": "a"}}),
        element(trust_framework="jp_aml"),
        element(trust_framework=["jp_aml"]),
        element(trust_framework={"value": "a", "values": ["a"]}),
        element(time={"max_age": -1}),
        element(time={"max_age": "3600"}),
        element(evidence={}),
        element(evidence=[]),
        element(evidence=[{}]),
        element(evidence=[{"type": None}]),
        element(evidence=[{"type": "document"}]),
        element(evidence=[{"type": {"values": ["document"]}}]),
        element(evidence=[{"type": {"essential": True}}]),
        element(evidence=[document()] * 9),
        element(evidence=[document(check_details={})]),
        element(evidence=[document(check_details=[])]),
        element(evidence=[document(check_details=["vcrypt"])]),
        element(evidence=[document(document_details=[])]),
        element(evidence=[document(document_details={"issuer": "x"})]),
        element(evidence=[document(document_details={"issuer": {"issuer": {"a": {"b": None}}}})]),
        element(evidence=[document(**{f"m{number}": None for number in range(33)})]),
    ],
    ids=lambda given: json.dumps(given)[:60],
)
def test_a_malformed_request_is_refused(given: Any) -> None:
    with pytest.raises(InvalidRequest):
        read(given)
    with pytest.raises(InvalidRequest):
        parse(json.dumps({"userinfo": {"verified_claims": given}}))


# --- storage, consent page, metadata ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [element(), [element(), element({"gender": {"value": "male", "purpose": "審査のため"}})]]
)
def test_a_request_is_stored_and_read_back_as_it_was(given: Any) -> None:
    assert tell(read(given)) == given
    request = parse(json.dumps({"id_token": {"verified_claims": given, "name": None}}))
    assert parse(to_json(request)) == request
    assert isinstance(request, ClaimsRequest)


def test_purposes_are_gathered_for_the_consent_page() -> None:
    asked = [
        element({"name": {"purpose": "口座の開設"}, "gender": None}),
        element({"name": {"purpose": "本人への連絡"}, "birthdate": {"purpose": "年齢の確認"}}),
        element({"name": {"purpose": "口座の開設"}}),
    ]
    assert purposes(read(asked)) == {"name": ("口座の開設", "本人への連絡"), "birthdate": ("年齢の確認",)}


def test_a_proof_cannot_be_built_wrong() -> None:
    with pytest.raises(ValueError, match="framework"):
        replace(PROOF, trust_frameworks=())
    with pytest.raises(ValueError, match="serial_number"):
        replace(PROOF, claims={"serial_number": "1"})
    with pytest.raises(ValueError, match="pvp"):
        Check(method="pvp")
    assert "山田" not in repr(PROOF)
    with pytest.raises(TypeError):
        PROOF.claims["name"] = "x"  # type: ignore[index]  # the very point


def test_metadata_is_silent_until_somebody_can_be_verified() -> None:
    assert metadata() == {}
    members = metadata((OURS, JP_AML))
    assert members["trust_frameworks_supported"] == [OURS, JP_AML]
    assert members["verified_claims_supported"] is True
    assert set(members) == {
        "verified_claims_supported",
        "trust_frameworks_supported",
        "claims_in_verified_claims_supported",
        "evidence_supported",
        "documents_supported",
        "documents_check_methods_supported",
        "electronic_records_supported",
    }
    assert all(members.values())


# --- whatever is asked -----------------------------------------------------------------------------------------------

WORD = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "value": st.sampled_from(["document", OURS, "vcrypt", "female", "x", None, 1]),
        "essential": st.booleans(),
        "max_age": st.integers(0, 10**5),
    },
)
DETAILS = st.dictionaries(
    st.sampled_from(["type", "date_of_expiry", "document_number", "serial_number", "name"]), WORD, max_size=3
)
EVIDENCE = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["document", "electronic_record", "vouch"]).map(lambda kind: {"value": kind})},
        optional={
            "check_details": st.lists(
                st.dictionaries(st.sampled_from(["check_method", "time", "txn"]), WORD, max_size=3),
                min_size=1,
                max_size=2,
            ),
            "document_details": DETAILS,
            "record": DETAILS,
        },
    ),
    min_size=1,
    max_size=2,
)
ELEMENT = st.fixed_dictionaries(
    {
        "verification": st.fixed_dictionaries({"trust_framework": WORD}, optional={"time": WORD, "evidence": EVIDENCE}),
        "claims": st.dictionaries(st.sampled_from([*CLAIMS, "x"]), WORD, min_size=1, max_size=4),
    }
)


@given(ELEMENT)
def test_an_answer_says_nothing_unasked_nothing_null_and_nothing_beside_the_proof(asked: dict[str, Any]) -> None:
    assert tell(read(tell(read(asked)))) == tell(read(asked))
    result = told(asked)
    if result is None:
        return
    assert result.keys() == {"verification", "claims"}
    assert result["claims"]
    assert result["claims"].items() <= CLAIMS.items()
    assert result["claims"].keys() <= asked["claims"].keys()
    assert result["verification"]["trust_framework"] == OURS
    assert result["verification"].keys() <= asked["verification"].keys()
    text = json.dumps(result)
    assert "null" not in text
    assert "serial_number" not in text
    assert "document_number" not in text
    for name, said in asked["claims"].items():
        if said and "value" in said and name in CLAIMS:
            assert (name in result["claims"]) <= (said["value"] == CLAIMS[name])
    for kind in result["verification"].get("evidence", ()):
        assert kind["type"] in {part["type"]["value"] for part in asked["verification"]["evidence"]}


def test_every_evidence_we_have_is_announced() -> None:
    kinds = {evidence.data()["type"] for evidence in (*PROOF.evidence, SIGNATURE)}
    assert kinds == set(metadata((OURS,))["evidence_supported"])
    assert tuple(sorted(CLAIMS)) == verified_claims.CLAIMS
