"""Long campaigns, run by command (`python -m tests.campaigns.NAME`); the tests run a short, seeded form of each."""
