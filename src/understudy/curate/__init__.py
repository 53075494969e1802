"""From raw conversations to an imitation set: readers, cleaning, deduplication, split."""
