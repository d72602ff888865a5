"""The fast road: simple requests answered before WSGI is entered, byte for byte as Flask would."""
