"""What makes a power of attorney impossible, each rule with its words for people and where it is written.

A refusal names its rule: pages, the API and the command all tell it from this one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Rule(StrEnum):
    """Every reason for which a grant is refused."""

    FORM = "form"
    VERSION = "version"
    CORPORATE_NUMBER = "corporate_number"
    KIND_OF_PRINCIPAL = "kind_of_principal"
    SAME_PARTY = "same_party"
    ACTS = "acts"
    SCOPE = "scope"
    CASE = "case"
    AMOUNT = "amount"
    ENTITY = "entity"
    TERM = "term"
    TERM_TOO_LONG = "term_too_long"
    QUALIFICATION = "qualification"
    JOINT_VENTURE = "joint_venture"
    APPROVAL = "approval"
    SUB_DELEGATION = "sub_delegation"
    CHILD_PARENT = "child_parent"
    CHILD_NOT_ALLOWED = "child_not_allowed"
    CHILD_DEPTH = "child_depth"
    CHILD_ENTITY = "child_entity"
    CHILD_WIDER = "child_wider"
    CHILD_TERM = "child_term"
    SERVICE = "service"
    SIGNER_NAME = "signer_name"
    OF_AGE = "of_age"
    EMPLOYER = "employer"
    EMPLOYMENT = "employment"
    INCOME = "income"
    HOURS = "hours"
    LEAVE = "leave"
    TOLD_UNTIL = "told_until"
    SUPERSEDES = "supersedes"
    SIGNATURE_FORM = "signature_form"
    SIGNED_OTHER_BYTES = "signed_other_bytes"
    SIGNER_REFUSED = "signer_refused"
    SIGNER_UNPROVED = "signer_unproved"
    SIGNER_CORPORATION = "signer_corporation"
    SIGNER_REPRESENTATIVE = "signer_representative"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A rule for people; its source is for whoever keeps this table, and shown nowhere."""

    ja: str
    en: str
    source: str


WORDS: Final[Mapping[Rule, Words]] = MappingProxyType(
    {
        Rule.FORM: Words(
            ja="内容の形式が正しくありません。", en="The content is not in the form it must have.", source="RFC 8785"
        ),
        Rule.VERSION: Words(
            ja="この版の委任の形式には対応していません。", en="This version of the form is not known.", source="v"
        ),
        Rule.CORPORATE_NUMBER: Words(
            ja="法人番号が正しくありません。13桁の数字を確かめてください。",
            en="The corporate number is wrong: check its thirteen digits.",
            source="法人番号の指定等に関する省令 art. 2",
        ),
        Rule.KIND_OF_PRINCIPAL: Words(
            ja="この種類の委任は、この委任者にはできません。",
            en="This principal cannot grant a power of this kind.",
            source="電子委任状法 art. 2(1)",
        ),
        Rule.SAME_PARTY: Words(
            ja="委任者と受任者が同じです。", en="Principal and agent are the same.", source="民法 art. 108"
        ),
        Rule.ACTS: Words(
            ja="委任する行為が選ばれていないか、この種類の委任では選べないものが含まれています。",
            en="No act is granted, or one that this kind of power cannot have.",
            source="電子委任状法 art. 2(1)",
        ),
        Rule.SCOPE: Words(
            ja="委任の範囲（期間委任・個別の案件・サービス）が、委任の種類と合いません。",
            en="The scope (a term, one case, a service) does not fit this kind of power.",
            source="delegation model",
        ),
        Rule.CASE: Words(
            ja="個別の案件の委任には、案件番号と案件名が必要です。",
            en="A power for one case needs the number and the name of the case.",
            source="都度委任",
        ),
        Rule.AMOUNT: Words(
            ja="金額の上限は、1円以上の整数で書いてください。",
            en="A limit is a whole number of yen, one or more.",
            source="delegation model",
        ),
        Rule.ENTITY: Words(
            ja="知られていない発注機関が含まれています。",
            en="One of the procuring entities is not known.",
            source="delegation model",
        ),
        Rule.TERM: Words(
            ja="委任期間の終わりは、始まりより後でなければなりません。",
            en="A term ends after it begins.",
            source="delegation model",
        ),
        Rule.TERM_TOO_LONG: Words(
            ja="委任期間が、この種類の委任で認められる長さを超えています。",
            en="The term is longer than a power of this kind may last.",
            source="delegation model",
        ),
        Rule.QUALIFICATION: Words(
            ja="委任期間が、競争参加資格の有効期間を超えています。",
            en="The term goes beyond the qualification to tender.",
            source="運用基準 §8",
        ),
        Rule.JOINT_VENTURE: Words(
            ja="共同企業体の構成が正しくありません（2社以上で、委任者がその一員であること）。",
            en="A joint venture has two members or more, and the principal is one of them.",
            source="共同企業体",
        ),
        Rule.APPROVAL: Words(
            ja="承認の条件と承認者の数が合いません。",
            en="The condition for approval does not fit the number of approvers.",
            source="共同代理",
        ),
        Rule.SUB_DELEGATION: Words(
            ja="復代理人の選任についての指定が正しくありません。",
            en="What is said about appointing a sub-agent contradicts itself.",
            source="民法 art. 104",
        ),
        Rule.CHILD_PARENT: Words(
            ja="もとの委任が見つからないか、有効ではありません。",
            en="The power it comes from is not there, or not in force.",
            source="民法 art. 104",
        ),
        Rule.CHILD_NOT_ALLOWED: Words(
            ja="もとの委任では、復代理人の選任が認められていません。",
            en="The power it comes from does not allow a sub-agent.",
            source="民法 art. 104",
        ),
        Rule.CHILD_DEPTH: Words(
            ja="復代理の段数が、もとの委任で認められた数を超えています。",
            en="The chain of sub-agents is longer than the first power allows.",
            source="delegation model",
        ),
        Rule.CHILD_ENTITY: Words(
            ja="復代理人は、同じ法人の者でなければなりません。",
            en="A sub-agent belongs to the same corporation.",
            source="調達ポータル",
        ),
        Rule.CHILD_WIDER: Words(
            ja="復代理の範囲が、もとの委任の範囲を超えています。",
            en="The sub-agent's power is wider than the one it comes from.",
            source="民法 art. 106",
        ),
        Rule.CHILD_TERM: Words(
            ja="復代理の期間が、もとの委任の期間を超えています。",
            en="The sub-agent's term goes beyond the one it comes from.",
            source="民法 art. 106",
        ),
        Rule.SERVICE: Words(
            ja="代わりの手続きを受け付けていないサービスです。",
            en="This service does not let people act for others.",
            source="delegation model",
        ),
        Rule.SIGNER_NAME: Words(
            ja="署名した方の氏名が、入力した氏名と違います。カードにあるとおりに書いてください。",
            en="The name that was typed is not that of the card that signed. Write it as the card has it.",
            source="民法 art. 99",
        ),
        Rule.OF_AGE: Words(
            ja="親権者などとして代わりに手続きできるのは、お子さまの15歳の誕生日の前日までです。",
            en="A guardian may act only until the day before the child's fifteenth birthday.",
            source="年齢計算ニ関スル法律",
        ),
        Rule.EMPLOYER: Words(
            ja="雇用証明書は、法人または個人事業主が、従業員である個人について発行します。",
            en="A certificate of employment is a business's, about a person.",
            source="statement model",
        ),
        Rule.EMPLOYMENT: Words(
            ja="雇用の期間と証明する日が合いません。",
            en="The dates of the employment and the day that is certified contradict each other.",
            source="statement model",
        ),
        Rule.INCOME: Words(
            ja="収入は、対象の年と、0円以上の整数で書いてください。",
            en="An income is a whole number of yen, with its year.",
            source="statement model",
        ),
        Rule.HOURS: Words(
            ja="就労時間または就労実績が正しくありません。日数と時間は数字で、実績は3か月分まで書いてください。",
            en="The hours, or what was worked, are wrong: numbers, and three months at most up to the day certified.",
            source="就労証明書の標準的な様式",
        ),
        Rule.LEAVE: Words(
            ja="休業の期間または復職の日が正しくありません。",
            en="The days of leave, or of return, contradict each other.",
            source="就労証明書の標準的な様式",
        ),
        Rule.TOLD_UNTIL: Words(
            ja="取り下げを知らせる期限は、証明する日から10年以内の日にしてください。",
            en="Until when a withdrawal is told is a day within ten years of the one certified.",
            source="statement model",
        ),
        Rule.SUPERSEDES: Words(
            ja="訂正できるのは、ご自分が発行し、いま取り下げられていない証明書だけです。番号を確かめてください。",
            en="Only a certificate of your own that still stands can be corrected: check its number.",
            source="statement model",
        ),
        Rule.SIGNATURE_FORM: Words(
            ja="署名ファイルを読めないか、署名が正しくありません。CAdES形式の分離署名（.p7s、DER）を作り直してください。",
            en="The signature cannot be read or does not hold. Make a detached CAdES signature (.p7s, DER) again.",
            source="RFC 5652; ETSI EN 319 122-1",
        ),
        Rule.SIGNED_OTHER_BYTES: Words(
            ja="別のファイルへの署名です。この画面からダウンロードしたファイルに、そのまま署名してください。",
            en="It signs another file. Sign the file that this page gives, exactly as it is.",
            source="RFC 5652 §5.4",
        ),
        Rule.SIGNER_REFUSED: Words(
            ja="署名に使われた証明書は受け入れられません（商業登記電子証明書でないか、期限切れか、失効しています）。",
            en="The certificate is not accepted: no commercial registration certificate, expired, or revoked.",
            source="商業登記法 art. 12の2",
        ),
        Rule.SIGNER_UNPROVED: Words(
            ja="証明書が失効していないことを、いま確認できません。時間をおいて、もう一度お試しください。",
            en="That the certificate is unrevoked cannot be proved just now. Try again later.",
            source="商業登記法 art. 12の2",
        ),
        Rule.SIGNER_CORPORATION: Words(
            ja="署名に使われた証明書は、この法人番号の法人のものではありません。",
            en="The certificate is not that of the corporation with this number.",
            source="会社法人等番号",
        ),
        Rule.SIGNER_REPRESENTATIVE: Words(
            ja="代表者の氏名が、証明書に記録された氏名と違います。証明書のとおりに書いた委任で、やり直してください。",
            en="The representative's name differs from the certificate's. Draft it again with the name stated there.",
            source="商業登記法 art. 12の2",
        ),
    }
)
