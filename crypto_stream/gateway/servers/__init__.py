"""Green-thread servers, one file each. It must be imported first: it patches the standard library.

Each defines `ASYNC_MODE` (its name in Flask-SocketIO), `KEEP_ALIVE` (the header lines with which it confirms
`Connection: keep-alive`), `Hub` (`delivery.hub`), `Pause` (`http_cache.connection`), and
`Server(app, listener, context)` with `running`, `sweep()` and `stop()`. The library's own parser sees only
complete requests from `http.intake`.
"""
