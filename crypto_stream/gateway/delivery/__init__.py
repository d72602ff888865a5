"""From the mirror to viewers: wishes, channels, frames, and what a slow viewer gets."""
