"""The reader agent: the resident's own program between the browser and the card. The PIN never leaves it."""
