"""The cardholder's side: card, reader, PIN. Usable without `broker`, and never imported by it.

`apdu` and `tlv` are the bytes, `jpki_ap` the conversations with the card and `jpki_profile` what a card of today is,
`transport` what carries them, `pcsc` the real reader, `emulator` and `tray` a card in memory that `faults` can break,
`softcard` that card behind the real PC/SC daemon, `agent` the local program a browser talks to, `commands` what a
person types.
"""
