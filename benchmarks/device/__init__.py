"""What a GPU does with the engine: right, alike from run to run, without waiting, and how fast."""
