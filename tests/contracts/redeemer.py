"""One worker process of a race: tries every code it is told, and prints how often it won each."""

from __future__ import annotations

import json
import sys

from broker.audit.entry import Entry, Event
from broker.errors import StoreUnavailable
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from tests.contracts.records import NOW


def main() -> None:
    """Read {"url", "digests"} from standard input; wait for nobody."""
    task = json.loads(sys.stdin.read())
    store = SQLStore(open_engine(task["url"]))
    wins, refused = [], 0
    for digest in task["digests"]:
        try:
            with store.transaction() as tx:
                code = tx.codes.consume(bytes.fromhex(digest), now=NOW)
                if code is not None:
                    tx.audit.append(Entry(at=NOW, event=Event.TOKEN_ISSUED, reference=digest))
        except StoreUnavailable:
            refused += 1
            continue
        if code is not None:
            wins.append(digest)
    sys.stdout.write(json.dumps({"wins": wins, "refused": refused}))


if __name__ == "__main__":
    main()
