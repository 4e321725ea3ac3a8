"""A program that does not end by itself within a test: stands in the place of a chain that cannot be judged."""

import time

time.sleep(60)
