"""A witness of registers, which anybody can run: does a log only ever grow? It needs no broker and no server."""
