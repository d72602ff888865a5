"""Requests that are certainly simple, answered from what is built already, byte for byte as Flask would."""
