"""Answers simple requests from prebuilt responses, byte for byte as Flask would."""
