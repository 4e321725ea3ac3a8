"""An OpenID Provider in front of the Japanese MyNumber card (マイナンバーカード, JPKI)."""
