"""Training on several GPUs or machines: who takes part, how they meet, and the job of theirs."""
