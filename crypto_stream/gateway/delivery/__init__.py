"""From the mirror to viewers: subscriptions, channels, frames, and how slow viewers catch up."""
