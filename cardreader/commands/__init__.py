"""One module per command of `cardreader`, each imported only when it is asked for."""
