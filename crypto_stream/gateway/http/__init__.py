"""HTTP/1.1 as strangers send it: read strictly and in bounds, before a green server's own parser sees any."""
