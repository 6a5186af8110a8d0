"""Requests and their answers: a pure state machine, the policy, and the flow that decides."""
