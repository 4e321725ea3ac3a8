"""Fulfils the signing and sealing ports."""
