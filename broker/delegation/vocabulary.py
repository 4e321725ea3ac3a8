"""What every member of a record, and every value that is not free text, is called on paper.

The printed page takes its words from here, so that no member is printed by its bare name; a test holds this table
against the enumerations. A changed word makes another template (`rendering.Renderer.template_hash`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from broker.delegation import statement
from broker.delegation.acts import EN, JA, Act, Kind
from broker.delegation.grant import Joint, Method, PartyKind, ScopeKind
from broker.delegation.record import Proof
from broker.delegation.statement import Employment, LeaveKind
from broker.delegation.wording import TOTAL, Words

TITLES: Final[Mapping[str, Words]] = {
    Kind.BUSINESS: Words(ja="電子委任状", en="Electronic power of attorney"),
    Kind.PERSON: Words(ja="委任状（個人）", en="Power of attorney (personal)"),
    Kind.GUARDIAN: Words(ja="親権者等による代理の記録", en="Record of acting for a child"),
    statement.TYPE: Words(ja="雇用証明書（就労証明書）", en="Certificate of employment"),
}
LABELS: Final[Mapping[str, Words]] = {
    "acts": Words(ja="委任する行為", en="Acts granted"),
    "address": Words(ja="所在地", en="Address"),
    "agent": Words(ja="受任者", en="Agent"),
    "amount": Words(ja="金額の上限", en="Limit"),
    "approval": Words(ja="共同代理", en="Joint approval"),
    "approvers": Words(ja="承認者の番号", en="Approvers"),
    "at": Words(ja="日時", en="Time"),
    "begins": Words(ja="始まり", en="Begins"),
    "case_name": Words(ja="案件名", en="Case name"),
    "case_number": Words(ja="案件番号", en="Case number"),
    "categories": Words(ja="区分", en="Categories"),
    "certified_on": Words(ja="証明する日", en="As of"),
    "contact": Words(ja="問い合わせ先", en="For questions"),
    "corporate_number": Words(ja="法人番号", en="Corporate number"),
    "count": Words(ja="必要な人数", en="Number needed"),
    "days": Words(ja="日数", en="Days"),
    "days_a_week": Words(ja="1週間の就労日数", en="Days a week"),
    "employed_since": Words(ja="雇用の開始日", en="Employed since"),
    "employed_until": Words(ja="雇用の終了日", en="Employed until"),
    "employee": Words(ja="従業員", en="Employee"),
    "employer": Words(ja="雇用主（証明者）", en="Employer, who certifies"),
    "employment": Words(ja="雇用形態", en="Employment"),
    "ends": Words(ja="終わり（この時刻の前まで）", en="Ends before"),
    "entities": Words(ja="発注機関", en="Procuring entities"),
    "evidence": Words(ja="裏付けの記録", en="Evidence"),
    "finishes": Words(ja="終業", en="Finishes"),
    "grant": Words(ja="委任の内容", en="Grant"),
    "hours": Words(ja="就労時間", en="Hours"),
    "hours_a_month": Words(ja="1か月の就労時間（時間）", en="Hours a month"),
    "id": Words(ja="この書面での番号", en="Number on this page"),
    "income": Words(ja="収入（税引き前）", en="Income before tax"),
    "index": Words(ja="一覧の中の位置", en="Place in the list"),
    "industry": Words(ja="業種", en="Industry"),
    "issued_at": Words(ja="作成日時", en="Issued"),
    "issuer": Words(ja="発行者", en="Issuer"),
    "joint_venture": Words(ja="共同企業体", en="Joint venture"),
    "kind": Words(ja="種類", en="Kind"),
    "lead": Words(ja="代表構成員", en="Lead member"),
    "leave": Words(ja="休業", en="Leave"),
    "limit": Words(ja="金額の上限", en="Limit of amount"),
    "list": Words(ja="状態の一覧", en="Status list"),
    "log": Words(ja="登録簿", en="Register"),
    "members": Words(ja="構成員の法人番号", en="Members"),
    "method": Words(ja="記録の方式", en="Method"),
    "month": Words(ja="年月", en="Month"),
    "name": Words(ja="名称・氏名", en="Name"),
    "nonce": Words(ja="署名手続きの番号", en="Number of the signing"),
    "number": Words(ja="書面の番号", en="Number"),
    "parent": Words(ja="もとの委任状の番号", en="Comes from"),
    "powers": Words(ja="委任事項", en="Powers"),
    "principal": Words(ja="委任者", en="Principal"),
    "purpose": Words(ja="使用目的", en="Purpose"),
    "qualified_until": Words(ja="競争参加資格の期限", en="Qualified to tender until"),
    "remarks": Words(ja="備考", en="Remarks"),
    "representative": Words(ja="代表者", en="Representative"),
    "representative_title": Words(ja="代表者の役職", en="Representative's title"),
    "rest_minutes": Words(ja="休憩（分）", en="Rest (minutes)"),
    "returns_on": Words(ja="復職の日", en="Returns on"),
    "scope": Words(ja="範囲", en="Scope"),
    "service": Words(ja="サービス", en="Service"),
    "sha256": Words(ja="SHA-256", en="SHA-256"),
    "service_name": Words(ja="サービスの名称", en="Name of the service"),
    "shows": Words(ja="示すもの", en="Shows"),
    "signature": Words(ja="委任者の電子署名（CMS）", en="The principal's signature (CMS)"),
    "since": Words(ja="初日", en="From"),
    "starts": Words(ja="始業", en="Starts"),
    "status": Words(ja="取り消し・停止の確認先", en="Where revocation is told"),
    "sub_delegation": Words(ja="復代理（認める段数）", en="Sub-agents (steps allowed)"),
    "supersedes": Words(ja="置き換える書面の番号", en="Replaces"),
    "tax_included": Words(ja="消費税を含む", en="Includes tax"),
    "template": Words(ja="様式", en="Template"),
    "title": Words(ja="役職", en="Title"),
    "told_until": Words(ja="取り下げの有無を知らせる最後の日", en="Withdrawal is told until"),
    "total": Words(ja="合計額", en="In total"),
    "type": Words(ja="文書の種類", en="Type"),
    "until": Words(ja="最終日", en="To"),
    "v": Words(ja="形式の版", en="Version"),
    "worked": Words(ja="就労実績", en="Worked"),
    "workplace": Words(ja="勤務先", en="Place of work"),
    "workplace_address": Words(ja="勤務先の所在地", en="Address of the place of work"),
    "year": Words(ja="対象の年", en="Year"),
}
VALUES: Final[Mapping[str, Mapping[str, Words]]] = {
    "type": TITLES,
    "acts": {act: Words(ja=JA[act], en=EN[act]) for act in Act},
    "employment": {
        Employment.REGULAR: Words(ja="正社員（期間の定めなし）", en="regular"),
        Employment.FIXED_TERM: Words(ja="有期雇用", en="fixed term"),
        Employment.PART_TIME: Words(ja="パート・アルバイト", en="part time"),
        Employment.DISPATCHED: Words(ja="派遣", en="dispatched"),
        Employment.OFFICER: Words(ja="役員", en="officer"),
    },
    "kind": {
        PartyKind.CORPORATION: Words(ja="法人", en="corporation"),
        PartyKind.SOLE_PROPRIETOR: Words(ja="個人事業主", en="sole proprietor"),
        PartyKind.PERSON: Words(ja="個人", en="person"),
        ScopeKind.TERM: Words(ja="期間委任（期間中のすべての案件）", en="every case during the term"),
        ScopeKind.CASE: Words(ja="都度委任（一つの案件）", en="one case"),
        ScopeKind.SERVICE: Words(ja="一つのサービス", en="one service"),
        Joint.ALONE: Words(ja="単独", en="alone"),
        Joint.ALL: Words(ja="全員の承認", en="all approvers"),
        Joint.ONE_OF: Words(ja="いずれか一人の承認", en="one of the approvers"),
        Joint.AT_LEAST: Words(ja="決められた人数以上の承認", en="at least the number needed"),
        Joint.MAJORITY: Words(ja="過半数の承認", en="a majority of the approvers"),
        LeaveKind.MATERNITY: Words(ja="産前・産後休業", en="maternity leave"),
        LeaveKind.CHILDCARE: Words(ja="育児休業", en="childcare leave"),
    },
    "method": {
        Method.OPERATOR_FILE: Words(ja="取扱事業者記録ファイル方式", en="file sealed by the operator"),
        Method.PRINCIPAL_FILE: Words(ja="委任者記録ファイル方式", en="file signed by the principal"),
        Method.CERTIFICATE: Words(ja="電子証明書方式", en="within the agent's certificate"),
    },
    "shows": {
        Proof.PRINCIPAL_FRAME: Words(ja="委任者のカードによる確認", en="confirmation by the principal's card"),
        Proof.PRINCIPAL_SIGNATURE: Words(ja="委任者の電子署名", en="the principal's signature"),
        Proof.APPROVAL: Words(ja="承認", en="approval"),
        Proof.ACCEPTANCE: Words(ja="受任者の承諾", en="acceptance by the agent"),
        Proof.GUARDIAN_FRAME: Words(ja="親権者などのカードによる確認", en="confirmation by the guardian's card"),
        Proof.GUARDIAN_SIGNATURE: Words(ja="親権者などの電子署名", en="the guardian's signature"),
        Proof.CHILD_CARD: Words(ja="本人のカードによる確認", en="confirmation by the child's own card"),
        Proof.GUARDIANSHIP: Words(ja="サービスによる続柄の確認", en="guardianship as the service has seen it"),
        Proof.DECISION: Words(ja="電子証明書の確認結果", en="decision on the certificates"),
        Proof.REGISTRY_EXTRACT: Words(ja="登記事項証明書の確認", en="registry extract"),
    },
}
ROLES: Final[Mapping[str, Mapping[str, Words]]] = {
    Kind.PERSON: {
        "principal": Words(ja="本人（代わりに手続きをしてもらう方）", en="The person acted for"),
        "agent": Words(ja="代わりに手続きをする方", en="Who acts"),
    },
    Kind.GUARDIAN: {
        "principal": Words(ja="本人（代わりに手続きをしてもらう方）", en="The person acted for"),
        "agent": Words(ja="親権者など（代わりに手続きをする方）", en="Parent or guardian, who acts"),
    },
}
"""Members that a type calls otherwise."""
NOTES: Final[Mapping[str, Words]] = {
    "total": TOTAL,
    "each": Words(ja="一件ごと", en="each act"),
    "all_together": Words(ja="期間中の合計", en="all acts together"),
    "tax_included": Words(ja="税込", en="tax included"),
    "tax_excluded": Words(ja="税抜", en="tax excluded"),
    "no_limit": Words(ja="上限の定めなし", en="no limit is stated"),
    "any_entity": Words(ja="すべての発注機関", en="any procuring entity"),
    "any_category": Words(ja="すべての区分", en="all categories"),
    "none": Words(ja="なし", en="none"),
    "empty": Words(ja="（空）", en="(empty)"),
    "yes": Words(ja="はい", en="yes"),
    "no": Words(ja="いいえ", en="no"),
    "in_record": Words(
        ja="添付の記録の中にあります（SHA-256は裏付けの記録のとおり）",
        en="within the attached record; its SHA-256 stands among the evidence",
    ),
    "rare": Words(ja="文字の番号", en="code points"),
    "for_checking": Words(ja="照合のための項目", en="For checking"),
    "document": Words(ja="電子文書", en="Electronic document"),
    "look_up": Words(ja="発行者に照会するQRコード", en="QR code that asks the issuer"),
    "check": Words(ja="照合コード", en="Check code"),
}


def table() -> str:
    """Everything above as JSON in one spelling: what the template is given, and what its hash covers."""
    return json.dumps(
        {
            "labels": _both(LABELS),
            "notes": _both(NOTES),
            "roles": {kind: _both(words) for kind, words in ROLES.items()},
            "titles": _both(TITLES),
            "values": {member: _both(words) for member, words in VALUES.items()},
        },
        ensure_ascii=False,
        sort_keys=True,
    )


def _both(words: Mapping[str, Words]) -> dict[str, Any]:
    return {name: [each.ja, each.en] for name, each in words.items()}
