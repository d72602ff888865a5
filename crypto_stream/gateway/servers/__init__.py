"""Green-thread servers, one file each: importing such a file first makes the standard library green.

Each offers `ASYNC_MODE` (Flask-SocketIO's name of it), `Hub` (`delivery.hub`) and
`Server(app, listener, max_connections)` with `running` and `stop()`.
"""
