"""The outside world on one machine: a test certification authority in JPKI's shape, its residents, cards and services.

Nothing here is installed in production (design 4.21), and nothing here knows the broker: it is what the broker would
meet outside, so it is reached over HTTP, PC/SC and files only.
"""
