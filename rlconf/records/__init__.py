"""What a run writes down while it trains, and sends to trackers."""
