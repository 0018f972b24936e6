"""The seed of what a test draws at random: another one every time, and the one given by SEED."""

import os
import random


def seeded() -> random.Random:
    """Returns a source of random numbers, and prints the seed that replays it."""
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={seed}")
    return random.Random(seed)
