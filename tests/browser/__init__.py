"""What a person sees, checked in a real Chromium against the real system."""
