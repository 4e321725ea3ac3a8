"""What the verdicts, their reasons and the checks are called, for pages, commands and reports alike.

No word here is a ruling in law: they say what was found, what was not, and what could not be shown (design 4.15).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from broker.delegation.life import State
from broker.delegation.verdict import Outcome, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One thing in both languages."""

    ja: str
    en: str

    def into(self, language: str) -> str:
        return self.ja if language == "ja" else self.en


OUTCOMES: Final[Mapping[Outcome, Words]] = {
    Outcome.VALID: Words(ja="有効です", en="Valid"),
    Outcome.EXPIRED: Words(ja="期限切れです", en="Outside its period"),
    Outcome.REVOKED: Words(ja="取り消されています", en="Revoked"),
    Outcome.OUT_OF_SCOPE: Words(ja="権限の範囲外です", en="Out of scope"),
    Outcome.FORGED: Words(ja="改ざん・偽造のおそれがあります", en="May be altered or forged"),
    Outcome.CANNOT_TELL: Words(ja="確認できません", en="Cannot be confirmed"),
}
EXPLAINED: Final[Mapping[Outcome, Words]] = {
    Outcome.VALID: Words(
        ja="記録と、お尋ねの日・内容についての権限の範囲を確認できました。",
        en="The record and the scope of the power were confirmed for the day and purpose asked about.",
    ),
    Outcome.EXPIRED: Words(
        ja="本物ですが、お尋ねの日は委任の期間に入っていません。",
        en="Genuine, but the day asked about is outside the term of the power.",
    ),
    Outcome.REVOKED: Words(
        ja="お尋ねの日には、取り消しまたは停止されていました。この委任状に基づく手続きは受けないでください。",
        en="It had been revoked or suspended by the day asked about. Do not accept dealings under it.",
    ),
    Outcome.OUT_OF_SCOPE: Words(
        ja="本物ですが、お尋ねの内容は、この委任状の権限に含まれません。",
        en="Genuine, but what was asked about is not within this power.",
    ),
    Outcome.FORGED: Words(
        ja="発行されたままの文書であると確認できず、矛盾が見つかりました。受け取らず、委任者に連絡してください。",
        en="It contradicts what was issued. Do not accept it, and contact the principal.",
    ),
    Outcome.CANNOT_TELL: Words(
        ja="確認に必要なものが足りないか、古くなっています。足りないものを受け取り、もう一度確認してください。",
        en="Something needed for checking is missing or too old. Obtain it, then check again.",
    ),
}
REASONS: Final[Mapping[Reason, Words]] = {
    Reason.ALTERED: Words(
        ja="文書が署名後に変えられたか、別の人が作ったものです。",
        en="The document was changed after it was sealed, or was made by somebody else.",
    ),
    Reason.NOT_IN_REGISTER: Words(
        ja="登録簿の記載が、この文書のものではありません。", en="The register's entry is not about this document."
    ),
    Reason.CHAIN_BROKEN: Words(
        ja="復代理の委任が、元の委任の範囲を超えているか、つながっていません。",
        en="The sub-agent's power goes beyond the one it comes from, or does not come from it.",
    ),
    Reason.PARENT_MISSING: Words(
        ja="復代理の元になる委任状が添えられていません。元の委任状を含む一式を受け取ってください。",
        en="The power that this one comes from is not included. Obtain the bundle that has it.",
    ),
    Reason.SEAL_UNKNOWN: Words(
        ja="信頼している認証局の署名ではありません。方針に発行者の認証局があるか確認してください。",
        en="The seal leads to no authority that is trusted here. See whether your policy names the issuer's.",
    ),
    Reason.SEAL_UNPROVED: Words(
        ja="署名の有効性を、文書だけでは確認できません。文書の形式と、確認する日付を見直してください。",
        en="The document does not prove its seal for that day. Review its form and the date asked about.",
    ),
    Reason.SEAL_REVOKED: Words(
        ja="署名に使われた証明書が失効しています。", en="A certificate of the seal was revoked."
    ),
    Reason.NOT_WITNESSED: Words(
        ja="登録簿に載り、証人が確認したことを示す資料がありません。一式（ZIP）を受け取ってください。",
        en="Nothing shows that it is in the register and was witnessed. Obtain the bundle (ZIP).",
    ),
    Reason.STATUS_MISSING: Words(
        ja="その日の状態一覧がありません。その日の状態一覧を含む一式を受け取ってください。",
        en="There is no status list for that day. Obtain a bundle that has it.",
    ),
    Reason.STATUS_OLD: Words(
        ja="状態一覧が古すぎます。新しい一式を受け取ってから確認してください。",
        en="The status list is too old. Obtain a newer bundle, then check again.",
    ),
    Reason.REVOKED: Words(ja="委任が取り消されています。", en="The power was revoked."),
    Reason.SUSPENDED: Words(ja="委任が一時停止されています。", en="The power was suspended."),
    Reason.SUPERSEDED: Words(
        ja="新しい委任状に置き換えられています。", en="It was replaced by a newer power of attorney."
    ),
    Reason.NOT_YET: Words(ja="委任の期間がまだ始まっていません。", en="Its term had not begun."),
    Reason.ENDED: Words(ja="委任の期間が終わっています。", en="Its term had ended."),
    Reason.ACT: Words(ja="その行為は委任されていません。", en="That act is not granted."),
    Reason.ENTITY: Words(ja="その発注機関は対象に含まれていません。", en="That procuring entity is not included."),
    Reason.CATEGORY: Words(ja="その区分（物品・役務・工事・業務）は対象外です。", en="That category is not included."),
    Reason.CASE: Words(
        ja="別の案件についての委任です。案件番号を確認してください。",
        en="It is for another case. Compare the case number.",
    ),
    Reason.AMOUNT: Words(ja="金額が上限を超えています。", en="The amount is above the limit."),
    Reason.AMOUNT_UNKNOWN: Words(
        ja="税込みと税抜きが違うため、金額を比べられません。",
        en="One amount includes tax and the other does not: they cannot be compared.",
    ),
    Reason.SERVICE: Words(ja="別のサービスについての委任です。", en="It is for another service."),
    Reason.SUB_AGENT: Words(
        ja="この発注機関は、この段数の復代理を受け付けません。",
        en="This authority does not accept that many steps of sub-agents.",
    ),
    Reason.ACTS_TOGETHER: Words(
        ja="この発注機関が一緒に求める行為のうち、委任されていないものがあります。",
        en="The authority wants certain acts granted together, and one of them is missing.",
    ),
    Reason.TERM_TOO_LONG: Words(
        ja="委任の期間が、この発注機関の定める長さを超えています。",
        en="The term is longer than this authority accepts.",
    ),
    Reason.NO_LIMIT: Words(
        ja="この発注機関が求める金額の上限が書かれていません。",
        en="It states no limit of amount, which this authority wants.",
    ),
    Reason.FOREIGN_OFFICE: Words(
        ja="お尋ねの機関は、選んだ方針の発注機関に含まれません。",
        en="That office is not one of the authority whose policy was chosen.",
    ),
    Reason.PRINCIPAL_UNKNOWN: Words(
        ja="委任者自身の署名の証明書を、指定された認証局が発行したと確認できません。",
        en="The certificate of the principal's own signature was not shown to be of an authority that was named.",
    ),
    Reason.CERTIFICATE_METHOD: Words(
        ja="電子証明書方式の委任です。書かれた内容は表示しますが、失効の有無と、受任者本人が使ったことは、ここでは"
        "確認できません。発行した認証局と、受任者の署名で確かめてください。",
        en="The power stands in its agent's certificate. What it states is shown; whether it is revoked, and whether"
        " its holder used it, is for its authority and the agent's signature to show.",
    ),
    Reason.STATES_ONLY: Words(
        ja="この文書は事実の証明です。権限を与えるものではありません。",
        en="This document states facts. It empowers nobody.",
    ),
}
STATES: Final[Mapping[State, Words]] = {
    State.ACTIVE: Words(ja="有効", en="in force"),
    State.SUSPENDED: Words(ja="停止中", en="suspended"),
    State.REVOKED: Words(ja="取り消し", en="revoked"),
    State.SUPERSEDED: Words(ja="置き換え", en="replaced"),
    State.EXPIRED: Words(ja="期間終了", en="ended"),
}
TOTAL: Final = Words(
    ja="金額の上限は合計額です。これまでに使った額は、この記録だけでは分かりません。",
    en="The limit is for all acts together: what was used of it cannot be seen from this record.",
)

STATED: Final[Mapping[str, Mapping[str, Words]]] = {
    "explained": {
        Outcome.VALID: Words(
            ja="証明者が署名したままで、お尋ねの日まで取り下げられていません。内容が事実かは、証明者の責任です。",
            en="It is as its employer signed it, and had not been withdrawn by the day asked about. For its truth the"
            " employer answers.",
        ),
        Outcome.EXPIRED: Words(
            ja="本物ですが、お尋ねの日は、証明した日より前か、取り下げの有無を知らせる期間の後です。",
            en="Genuine, but the day asked about is before the one certified, or after withdrawals are told of.",
        ),
        Outcome.REVOKED: Words(
            ja="お尋ねの日には、証明者が取り下げたか、訂正していました。新しい証明書を求めてください。",
            en="Its employer had withdrawn or corrected it by the day asked about. Ask for a newer one.",
        ),
        Outcome.OUT_OF_SCOPE: Words(
            ja="本物ですが、この文書は権限を与えるものではありません。お尋ねの行為や金額には使えません。",
            en="Genuine, but it empowers nobody: it is good for no act and no amount.",
        ),
        Outcome.FORGED: Words(
            ja="発行されたままの文書であると確認できず、矛盾が見つかりました。受け取らず、証明者に連絡してください。",
            en="It contradicts what was issued. Do not accept it, and contact the employer.",
        ),
    },
    "outcomes": {
        Outcome.VALID: Words(ja="本物で、取り下げられていません", en="Genuine, and not withdrawn"),
        Outcome.EXPIRED: Words(ja="確認できる期間の外です", en="Outside the days it is told of"),
        Outcome.REVOKED: Words(ja="取り下げられています", en="Withdrawn"),
        Outcome.OUT_OF_SCOPE: Words(ja="権限の文書ではありません", en="Not a power of attorney"),
    },
    "reasons": {
        Reason.REVOKED: Words(ja="証明者が取り下げました。", en="Its employer withdrew it."),
        Reason.SUPERSEDED: Words(
            ja="証明者が訂正し、新しい証明書に置き換えました。", en="It was corrected by a newer one."
        ),
        Reason.NOT_YET: Words(ja="証明した日より前の日です。", en="The day asked about is before the one certified."),
        Reason.ENDED: Words(
            ja="取り下げの有無を知らせる期間が終わっています。新しい証明書を求めてください。",
            en="Withdrawals are no longer told of. Ask for a newer one.",
        ),
    },
    "checks": {
        "status": Words(ja="取り下げ・訂正", en="Withdrawal and correction"),
        "term": Words(ja="証明した日と、知らせる期間", en="Day certified, and days it is told of"),
    },
}
"""What is said otherwise of a statement: it states, and nobody is empowered by it."""


def outcome_words(outcome: Outcome, *, stated: bool) -> Words:
    """What a verdict is called."""
    return STATED["outcomes"].get(outcome, OUTCOMES[outcome]) if stated else OUTCOMES[outcome]


def explanation(outcome: Outcome, *, stated: bool) -> Words:
    """What a verdict means."""
    return STATED["explained"].get(outcome, EXPLAINED[outcome]) if stated else EXPLAINED[outcome]


def reason_words(reason: Reason, *, stated: bool) -> Words:
    """What a reason is called."""
    return STATED["reasons"].get(reason, REASONS[reason]) if stated else REASONS[reason]
