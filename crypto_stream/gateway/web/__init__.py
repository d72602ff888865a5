"""HTTP: the pages, the JSON API and the WSGI middleware around them."""
