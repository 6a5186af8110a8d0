"""The collector's side of NATS: its server's configuration, streams, consumers and publishing."""
