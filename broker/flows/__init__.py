"""One function per story: fetch, decide, write once."""
