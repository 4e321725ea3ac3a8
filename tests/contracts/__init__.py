"""The promises of broker.flows.ports, asked of every engine."""
