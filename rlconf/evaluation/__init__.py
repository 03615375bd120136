"""How good a policy is, and whether another one is better."""
