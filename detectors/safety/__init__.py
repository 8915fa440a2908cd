"""What may be done to whoever loads or runs a model: judged from its bytes, without loading or running anything."""
