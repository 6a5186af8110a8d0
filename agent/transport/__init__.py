"""The agent's side of NATS: nothing else in the agent knows how messages travel."""
