"""`python -m sandbox.bank`: serve the sample bank by waitress, or print its registration."""

from __future__ import annotations

from sandbox.bank import HOST, PORT, BankSettings, create_bank, registration
from sandbox.party.serving import program

main = program(
    "bank",
    "The sample bank. Its state is ROOT/bank.",
    host=HOST,
    port=PORT,
    settings=BankSettings,
    create=create_bank,
    registration=registration,
)

if __name__ == "__main__":
    main()
