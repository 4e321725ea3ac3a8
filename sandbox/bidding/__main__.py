"""`python -m sandbox.bidding`: serve the sample e-bidding service, or print its registration."""

from __future__ import annotations

from sandbox.bidding import HOST, PORT, BiddingSettings, create_bidding, registration
from sandbox.party.serving import program

main = program(
    "bidding",
    "The sample e-bidding service. Its state is ROOT/bidding.",
    host=HOST,
    port=PORT,
    settings=BiddingSettings,
    create=create_bidding,
    registration=registration,
)

if __name__ == "__main__":
    main()
