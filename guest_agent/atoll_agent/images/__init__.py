"""Images: references, archives, layers and the store that keeps them. Knows nothing of containers."""
