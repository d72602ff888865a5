"""The clients against small servers that do what a test tells them."""
