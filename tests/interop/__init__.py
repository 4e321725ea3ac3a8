"""Programs that others wrote, as judges: their clients log in here, their provider is asked what ours is asked."""
