"""What the engine asks of stores, providers, knowledge and identity."""
