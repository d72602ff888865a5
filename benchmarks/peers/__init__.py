"""Other people's servers doing the same work, each as small as in its documentation.

Delivery peers get lines of JSON (`[quote, …]`) from the feeder and give each line to every client as the
Socket.IO event `quotes`. HTTP peers answer /courses with the bytes and headers of a file. Arguments: the port
to listen on, then the feeder's port or that file. Each is killed when its measurement ends.
"""
