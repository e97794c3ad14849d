"""Which block holds on to its keys on long sequences, and why."""
